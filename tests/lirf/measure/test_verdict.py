"""The verdict follows from the numbers by the rules that it states."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.measure import verdict
from lirf.measure.table import BY_KEY, JUDGED
from lirf.params import Page

POLICY = Page(memorised=0.05, margin=0.05)
RESULT = {
    "memorised": 0.5, "precision": 0.9, "recall": 0.2, "density": 1.0, "coverage": 0.5,
    "frechet": 1.0, "vendi": 10.0, "n_fake": 1000, "n_reference": 1000, "reference": "heldout",
    "generator": "network", "sharpness": 10.0, "sharpness_heldout": 20.0,
}  # fmt: skip
ROUNDS = [{"admitted": 5}, {"admitted": 0}]


def judge(**changes):
    return verdict.judge({**RESULT, **changes}, RESULT, ROUNDS, POLICY)


@pytest.mark.parametrize(
    ("memorised", "word", "kind"),
    [(0.0, "New", "good"), (0.05, "New", "good"), (0.051, "Partly memorised", "mixed"),
     (0.499, "Partly memorised", "mixed"), (0.5, "Memorised", "bad"), (1.0, "Memorised", "bad")],
)  # fmt: skip
def test_the_share_of_memorised_samples_decides_whether_they_are_new(memorised, word, kind):
    found = judge(memorised=memorised)
    assert (found.new.word, found.new.kind) == (word, kind)
    assert f"{round(1000 * memorised)} of 1000 samples" in found.new.sentence
    assert "of the baseline's, 500" in found.new.sentence


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "As good as the baseline"),
        ({"coverage": 0.6}, "Good"),
        ({"frechet": 2.0}, "Worse than the baseline"),
        ({"coverage": 0.6, "frechet": 2.0}, "Good in part"),
        ({"memorised": 0.0}, "As good as the baseline"),  # that is the other question
    ],
)
def test_quality_is_held_against_the_baseline(changes, word):
    found = judge(**changes)
    assert found.good.word == word
    better = "coverage" in changes
    assert ("better in coverage" in found.good.sentence) == better
    assert ("worse in Frechet distance" in found.good.sentence) == ("frechet" in changes)


def test_without_held_out_images_quality_cannot_be_told():
    found = judge(reference="train", coverage=0.9)
    assert (found.good.word, found.good.kind) == ("Cannot be told", "unknown")
    assert "cannot be told" in found.sentence


def test_a_measure_that_is_missing_is_not_judged():
    found = judge(frechet=None)
    assert found.judged["frechet"] == "unknown"
    assert "Frechet" not in found.good.sentence


@pytest.mark.parametrize(
    ("key", "mine", "expected"),
    [
        ("density", 0.97, "same"), ("density", 1.2, "worse"), ("density", 0.8, "worse"),
        ("frechet", 1.04, "same"), ("frechet", 0.9, "better"), ("frechet", 1.1, "worse"),
        ("vendi", 10.4, "same"), ("vendi", 11.0, "better"), ("memorised", 0.4, "better"),
        ("sharpness", 10.4, "same"), ("sharpness", 15.0, "better"), ("sharpness", 31.0, "worse"),
        ("precision", 0.92, "same"), ("precision", 0.93, "better"), ("recall", 0.1, "worse"),
    ],
)  # fmt: skip
def test_which_way_is_better_and_by_how_much(key, mine, expected):
    assert verdict.compare(BY_KEY[key], {**RESULT, key: mine}, RESULT, POLICY) == expected


@pytest.mark.parametrize("metric", JUDGED, ids=lambda metric: metric.key)
@given(a=st.floats(0, 1), b=st.floats(0, 1))
def test_a_comparison_the_other_way_round_says_the_opposite(metric, a, b):
    exact = Page(memorised=0.05, margin=0)
    one, other = {**RESULT, metric.key: a}, {**RESULT, metric.key: b}
    opposite = {"better": "worse", "worse": "better", "same": "same"}
    there, back = (verdict.compare(metric, *pair, exact) for pair in ((one, other), (other, one)))
    assert back == opposite[there]


@given(share=st.floats(0, 1), n=st.integers(1, 10**6))
def test_the_interval_of_a_share_holds_it_and_narrows(share, n):
    low, high = verdict.interval(share, n)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    assert high - low <= 2 * 2 / math.sqrt(n + 4) * 0.5 + 1e-12


def test_the_interval_solves_its_equation():
    for bound in verdict.interval(0.3, 50):
        assert abs(bound - 0.3) == pytest.approx(2 * math.sqrt(bound * (1 - bound) / 50))


def test_the_features_that_find_more_memorised_samples_decide():
    blind = {"memorised": 0.0, "memorised_pixels": 0.9}
    found = verdict.judge({**RESULT, **blind}, {**RESULT, **blind}, ROUNDS, POLICY)
    assert found.new.word == "Memorised"
    assert "900 of 1000 samples" in found.new.sentence
    assert "of the baseline's, 900" in found.new.sentence
    assert judge(memorised_pixels=0.0).new.word == "Memorised"


def test_held_out_images_say_what_chance_does():
    assert (
        "held-out images in their place, 2.5 % would" in judge(memorised_heldout=0.025).new.sentence
    )
    assert "held-out images in their place" not in judge().new.sentence
    share = POLICY.memorised + 0.02
    assert judge(memorised=share).new.word == "Partly memorised"
    assert judge(memorised=share, memorised_heldout=0.025).new.word == "New"
    seen = {"memorised": 0.06, "memorised_heldout": 0.05, "memorised_pixels": 0.04}
    found = verdict.judge({**RESULT, **seen}, {**RESULT, **seen}, ROUNDS, POLICY)
    assert "40 of 1000" in found.new.sentence, "the more above held-out images"


def test_sharpness_is_held_against_the_held_out_images():
    metric = BY_KEY["sharpness"]
    assert verdict.compare(metric, {**RESULT, "sharpness": 19.0}, RESULT, POLICY) == "better"
    without = {**RESULT, "sharpness_heldout": None}
    assert verdict.compare(metric, without, without, POLICY) == "unknown"


def test_what_limits_the_verdict_is_said():
    assert judge().notes == (
        "One run with one seed: it says nothing of how far another would differ.",
    )
    found = verdict.judge({**RESULT, "generator": "mixup"}, RESULT, [{"admitted": 0}], POLICY)
    assert len(found.notes) == 3
    assert "mixup" in found.notes[0]
    assert "admitted" in found.notes[1]
