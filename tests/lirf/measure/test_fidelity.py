"""Precision, recall, density and coverage by hand, by their definitions, and by torch-fidelity."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_prc import calculate_precision_recall_full

from lirf.measure import fidelity as module
from lirf.measure.fidelity import fidelity


def gaussian(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_fidelity_by_hand():
    # Balls of the real points, k = 1: radius 1 about 0 and 1, radius 9 about 10.
    real = np.array([[0.0], [1.0], [10.0]])
    # Radii 3, 2, 2, 18, 78 about the samples.
    fake = np.array([[-3.0], [0.0], [2.0], [20.0], [98.0]])
    found = fidelity(fake, real, neighbours=1)
    # -3: none; 0: about 0 and 1; 2: about 1 and 10; 20 and 98: none.
    assert found.precision == 2 / 5
    assert found.density == 4 / 5
    assert found.coverage == 1  # 0 covers 0 and 1, 2 covers 10
    assert found.recall == 1  # 20's ball reaches 10


def slow_fidelity(fake, real, k):
    """Write the sums of the two papers out, one pair at a time."""

    def radius(points, i):
        return sorted(np.linalg.norm(points[i] - p) for j, p in enumerate(points) if j != i)[k - 1]

    ball_real = [radius(real, i) for i in range(len(real))]
    ball_fake = [radius(fake, j) for j in range(len(fake))]
    in_real = np.array([[np.linalg.norm(y - x) <= r for x, r in zip(real, ball_real, strict=True)]
                        for y in fake])  # fmt: skip
    in_fake = np.array([[np.linalg.norm(y - x) <= r for y, r in zip(fake, ball_fake, strict=True)]
                        for x in real])  # fmt: skip
    return (
        np.mean([row.any() for row in in_real]),
        np.mean([row.any() for row in in_fake]),
        in_real.sum() / (k * len(fake)),
        np.mean([column.any() for column in in_real.T]),
    )


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1), st.integers(5, 20), st.integers(5, 20), st.integers(1, 6),
    st.integers(1, 4), st.floats(0, 2),
)  # fmt: skip
def test_fidelity_follows_its_definitions(seed, m, n, f, k, shift):
    fake, real = gaussian(seed, m, f) + shift, gaussian(seed + 1, n, f)
    found = fidelity(fake, real, k)
    expected = slow_fidelity(fake, real, k)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(expected)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_precision_and_recall_agree_with_torch_fidelity(shift):
    fake, real = gaussian(2, 150, 6) * 0.7 + shift, gaussian(3, 120, 6)
    found = fidelity(fake, real, neighbours=3)
    precision, recall = calculate_precision_recall_full(
        torch.from_numpy(fake), torch.from_numpy(real), neighborhood=3
    )
    assert found.precision != found.recall, "a swap must be visible"
    assert (found.precision, found.recall) == pytest.approx((precision, recall), abs=1e-6)


def test_a_model_that_repeats_one_image_has_precision_and_no_recall():
    real = gaussian(4, 80, 5)
    found = fidelity(np.repeat(real[:1], 80, axis=0), real, neighbours=5)
    assert found.precision == 1
    assert found.recall == 1 / 80
    assert found.coverage < 0.3


def test_the_reference_itself_scores_full_marks():
    real = gaussian(5, 60, 4)
    found = fidelity(real, real, neighbours=5)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density > 1  # every image lies in its own ball too


def test_an_image_among_equal_ones_lies_in_their_balls_in_spite_of_rounding():
    images = gaussian(27, 5, 3000)
    assert fidelity(images, np.repeat(images, 4, axis=0), neighbours=3).precision == 1


def test_blocks_do_not_change_the_result(monkeypatch):
    fake, real = gaussian(6, 70, 4), gaussian(7, 90, 4)
    whole = fidelity(fake, real, 5)
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * 90 * 3)
    assert fidelity(fake, real, 5) == whole


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_cannot_be_measured_is_refused(bad):
    few, many = gaussian(25, 5, 3), gaussian(26, 50, 3)
    broken = many.copy()
    broken[5, 1] = bad
    for pair, message in (
        ((broken, many), "NaN or infinity"),
        ((many, broken), "NaN or infinity"),
        ((few, many), "5 samples: at least 6"),
        ((many, few), "5 reference images: at least 6"),
    ):
        with pytest.raises(ValueError, match=message):
            fidelity(*pair, 5)
