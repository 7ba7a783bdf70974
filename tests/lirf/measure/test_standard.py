"""Samples of any origin are held against real images, fairly whatever their number."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.measure import standard
from lirf.measure.fidelity import fidelity

REAL: dict[str, Any] = {
    "n_fake": 1000, "n_train": 100, "n_reference": 800,
    "memorised": 0.0, "memorised_heldout": 0.0, "memorised_pixels": None,
    "precision": 0.9, "precision_training": 0.9, "coverage": 0.97, "coverage_expected": 0.97,
    "sharpness": 20.0, "sharpness_heldout": 20.0,
}  # fmt: skip


@pytest.mark.parametrize(("samples", "reference", "neighbours"), [(40, 60, 3), (90, 30, 5)])
def test_real_images_reach_the_expected_coverage(samples: int, reference: int, neighbours: int):
    generator = np.random.default_rng(0)
    found = []
    for _ in range(200):
        points_PF = generator.standard_normal((samples + reference, 4))
        found.append(fidelity(points_PF[:samples], points_PF[samples:], neighbours).coverage)
    expected = standard.expected_coverage(samples, reference, neighbours)
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / np.sqrt(200))


@given(st.integers(1, 9), st.integers(1, 999), st.integers(10, 999))
def test_more_samples_cover_more(neighbours: int, samples: int, reference: int):
    some, more = (
        standard.expected_coverage(count, reference, neighbours) for count in (samples, samples + 1)
    )
    assert 0 < some <= more <= 1  # rounding ends the difference near 1


def test_real_images_are_good_and_new():
    found = standard.judge(REAL, 0.05)
    assert (found.new.word, found.good.word) == ("New", "Good")
    assert found.sentence == "New images, not memorised ones; as good as real images."
    assert set(found.judged.values()) == {"same"}
    assert "autoencoder" not in found.new.rule
    assert "(coverage; as many real images would reach 97 %)" in found.good.sentence


@pytest.mark.parametrize(
    ("changes", "word", "says"),
    [
        ({"coverage": 0.7}, "Good in part", "; short of real images in coverage."),
        ({"coverage": 0.4}, "Poor", ", but far from real images in coverage."),
        ({"precision": 0.1, "sharpness": 5.0}, "Poor", "in precision and sharpness."),
        ({"sharpness": 15.0}, "Good in part", "; short of real images in sharpness."),
        ({"sharpness": 90.0}, "Poor", ", but far from real images in sharpness."),
        ({"precision": 1.0, "coverage": 1.0}, "Good", "; as good as real images."),
        ({"memorised": 0.9, "coverage": 0.4}, "Poor", "images; far from real images in coverage."),
    ],
)
def test_what_falls_short_is_named(changes: dict[str, float], word: str, says: str):
    found = standard.judge({**REAL, **changes}, 0.05)
    assert found.good.word == word
    assert found.sentence.endswith(says)
    worse = {key for key in changes if found.judged.get(key) == "worse"}
    assert worse == {key for key in changes if key in says}


def test_a_share_of_few_samples_may_differ_by_chance():
    few = {**REAL, "n_fake": 10, "precision": 0.7}
    assert standard.is_good(few).word == "Good"
    assert standard.is_good({**few, "n_fake": 1000}).word == "Good in part"


def test_flat_images_are_as_sharp_as_flat_ones():
    assert standard.is_good({**REAL, "sharpness": 0.0, "sharpness_heldout": 0.0}).word == "Good"
    assert standard.is_good({**REAL, "sharpness": 0.0}).word == "Poor"
