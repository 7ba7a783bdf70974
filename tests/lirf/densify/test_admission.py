"""The policy is monotone, judges candidates one by one, has no unit, and never fails silently."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.densify import admission
from lirf.densify.admission import (
    ADMITTED,
    CROWDED,
    TOO_CLOSE,
    TOO_FAR,
    Decision,
    Scales,
    decide,
    floor,
    thinnest,
    threshold,
    warning,
)
from lirf.params import Admit

RULES = ["quantile", "spacing", "published"]
distances = st.floats(0, 100, width=32)
candidates = st.lists(st.tuples(distances, distances), min_size=1, max_size=30).map(
    lambda pairs: (np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]))
)
limits = st.floats(0, 100)
lengths = st.floats(0.01, 50)


def admit(**changes: Any) -> Admit:
    values = {"rule": "quantile", "quantile": 0.9, "spacing": 1.0, "tau": 0.1, "novelty": 0.33}
    return Admit(**{**values, "share": 1.0, "restore": 0.0, **changes})


@st.composite
def all_scales(draw: st.DrawFn) -> Scales:
    anchors = draw(st.lists(lengths, min_size=1, max_size=20))
    return Scales(draw(st.floats(0.05, 1)), np.array(anchors), draw(lengths))


def test_each_rule_in_numbers() -> None:
    scales = Scales(0.5, np.arange(11.0), spacing=3.0)
    assert threshold(admit(rule="quantile", quantile=0.9), scales) == pytest.approx(9)
    assert threshold(admit(rule="quantile", quantile=1.0), scales) == 10
    assert threshold(admit(rule="spacing", spacing=2.0), scales) == pytest.approx(2 * 0.5 * 3)
    assert threshold(admit(rule="published", tau=0.1), scales) == 0.1
    assert floor(admit(novelty=0.33), scales) == pytest.approx(0.33 * 3)


def test_reasons_and_their_precedence() -> None:
    decision = decide(np.array([1, 1, 3, 3.0]), np.array([5, 1, 5, 1.0]), threshold=2, floor=3)
    assert decision.reasons.tolist() == [ADMITTED, TOO_CLOSE, TOO_FAR, TOO_FAR]
    assert decision.admitted.tolist() == [True, False, False, False]


def test_the_limits_themselves_are_admitted() -> None:
    assert decide(np.array([2.0]), np.array([3.0]), threshold=2, floor=3).count(ADMITTED) == 1


@given(candidates, limits, limits)
def test_counts_sum_to_the_candidates(
    pairs: tuple[np.ndarray, np.ndarray], most: float, least: float
) -> None:
    decision = decide(*pairs, most, least)
    assert sum(decision.count(r) for r in (ADMITTED, TOO_FAR, TOO_CLOSE)) == len(pairs[0])
    assert decision.count(ADMITTED) == decision.admitted.sum()


@given(candidates, limits, limits, limits, limits)
def test_monotone_in_both_limits(
    pairs: tuple[np.ndarray, np.ndarray], most: float, more: float, least: float, less: float
) -> None:
    strict = decide(*pairs, min(most, more), max(least, less)).admitted
    loose = decide(*pairs, max(most, more), min(least, less)).admitted
    assert (loose | ~strict).all()


@given(candidates, limits, limits)
def test_each_candidate_is_judged_alone(
    pairs: tuple[np.ndarray, np.ndarray], most: float, least: float
) -> None:
    displacement, novelty = pairs
    together = decide(displacement, novelty, most, least).reasons
    alone = [
        decide(displacement[[i]], novelty[[i]], most, least).reasons[0]
        for i in range(len(displacement))
    ]
    assert together.tolist() == alone


@given(candidates, all_scales(), st.sampled_from(RULES), st.sampled_from([2.0**-9, 4.0, 2.0**20]))
def test_relative_rules_have_no_unit(
    pairs: tuple[np.ndarray, np.ndarray], scales: Scales, rule: str, unit: float
) -> None:
    scaled = Scales(
        scales.lambda_,
        unit * scales.anchors,
        unit * scales.spacing,
    )
    policy = admit(rule=rule, tau=10.0)
    plain = decide(*pairs, threshold(policy, scales), floor(policy, scales))
    other = decide(
        unit * pairs[0], unit * pairs[1], threshold(policy, scaled), floor(policy, scaled)
    )
    if rule == "published":
        assert other.threshold == plain.threshold  # what is wrong with it
    else:
        assert other.reasons.tolist() == plain.reasons.tolist()


@given(st.floats(0.05, 1), lengths)
def test_the_spacing_rule_follows_lambda(lambda_: float, spacing: float) -> None:
    anchors = np.ones(3)
    full = threshold(admit(rule="spacing"), Scales(1.0, anchors, spacing))
    part = threshold(admit(rule="spacing"), Scales(lambda_, anchors, spacing))
    assert part == pytest.approx(lambda_ * full)


def run(
    policy: Admit, pairs: tuple[np.ndarray, np.ndarray], scales: Scales
) -> tuple[Decision, str | None]:
    decision = decide(*pairs, threshold(policy, scales), floor(policy, scales))
    return decision, warning(decision, *pairs, policy, scales)


@given(candidates, all_scales(), st.sampled_from(RULES))
def test_the_warning_appears_exactly_when_needed_and_its_remedy_works(
    pairs: tuple[np.ndarray, np.ndarray], scales: Scales, rule: str
) -> None:
    policy = admit(rule=rule)
    decision, line = run(policy, pairs, scales)
    assert (line is None) == bool(decision.admitted.any())
    if line is None:
        return
    assert "\n" not in line
    changes: dict[str, Any] = {}
    for key, value in re.findall(r"admit\.(\w+) to (\S+?)(?:,|$| )", line):
        changes[key] = value if key == "rule" else float(value)
    assert changes, line
    assert run(policy.model_copy(update=changes), pairs, scales)[0].admitted.any(), line


def test_the_published_threshold_says_so_when_it_admits_nothing() -> None:
    scales = Scales(0.8, np.array([30.0, 40.0]), spacing=60.0)
    pairs = np.array([7.0, 30.0, 66.0]), np.array([25.0, 40.0, 50.0])
    _, line = run(admit(rule="published"), pairs, scales)
    assert line == (
        "none of 3 candidates is admitted, so the bank does not grow: 3 too far (smallest"
        " displacement 7, threshold 0.1), 0 too close (largest novelty 50, floor 19.8);"
        " set admit.tau to 31"
    )


def test_a_round_of_copies_says_so() -> None:
    scales = Scales(0.8, np.array([30.0, 40.0]), spacing=60.0)
    _, line = run(admit(), (np.array([1.0, 2.0]), np.array([0.6, 3.0])), scales)
    assert line is not None
    assert "0 too far" in line
    assert "2 too close (largest novelty 3, floor 19.8)" in line
    assert line.endswith("set admit.novelty to 0.029, or train for fewer steps")


def test_a_quantile_that_no_anchor_reaches_turns_to_the_spacing_rule() -> None:
    scales = Scales(0.5, np.array([1.0, 2.0]), spacing=4.0)
    _, line = run(admit(), (np.array([6.0]), np.array([5.0])), scales)
    assert line is not None
    assert line.endswith("set admit.rule to spacing and admit.spacing to 3.1")


def test_the_quantile_proposed_reaches_between_two_anchors() -> None:
    scales = Scales(0.5, np.array([1.0, 2.0, 3.0, 4.0]), spacing=4.0)
    pairs = np.array([3.5]), np.array([5.0])
    _, line = run(admit(quantile=0.5), pairs, scales)
    assert line is not None
    assert line.endswith("set admit.quantile to 1")
    assert run(admit(quantile=1.0), pairs, scales)[0].admitted.all()


def cloud(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3), np.float32)


def admission_of(seed: int, policy: Admit) -> tuple[admission.Chosen, np.ndarray, np.ndarray]:
    """Admit 60 candidates to a bank of 20 rows, half of them real; return both too."""
    bank, latents = cloud(seed, 20), 0.5 * cloud(seed + 1, 60)
    real = np.arange(20) < 10
    novelty = np.linalg.norm(latents[:, None] - bank[real], axis=2).min(axis=1)
    displacement = np.random.default_rng(seed + 2).random(60)
    scales = Scales(0.5, np.array([0.9]), spacing=1.0)
    done = admission.choose(policy, latents, displacement, novelty, bank, real, scales)
    return done, latents, bank


seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.floats(0.05, 1), st.sampled_from([0.0, 0.4, 1.0]))
def test_what_is_admitted_is_what_joins(seed: int, share: float, restore: float):
    done, latents, bank = admission_of(seed, admit(share=share, restore=restore))
    decision = done.decision
    assert len(done.latents) == len(done.novelty) == decision.count(ADMITTED)
    nearest = np.linalg.norm(done.latents[:][:, None] - bank[:10], axis=2).min(axis=1)
    np.testing.assert_allclose(done.novelty, nearest, rtol=1e-4, atol=1e-5)
    assert (done.novelty >= decision.floor).all()
    if not restore:
        np.testing.assert_array_equal(done.latents[:], latents[decision.admitted])


@given(seeds)
def test_the_admitted_get_the_covariance_of_the_real_back(seed: int):
    done, _, bank = admission_of(seed, admit(restore=1.0, novelty=0.0))
    np.testing.assert_allclose(np.cov(done.latents[:].T), np.cov(bank[:10].T), rtol=1e-2, atol=1e-2)


@given(seeds, st.floats(0.05, 0.95))
def test_a_share_of_those_that_pass_is_kept(seed: int, share: float):
    everyone, _, _ = admission_of(seed, admit())
    some, _, _ = admission_of(seed, admit(share=share))
    assert (everyone.decision.admitted | ~some.decision.admitted).all()
    assert some.decision.count(ADMITTED) == np.ceil(share * everyone.decision.count(ADMITTED))
    rest = everyone.decision.count(ADMITTED) - some.decision.count(ADMITTED)
    assert some.decision.count(CROWDED) == rest


@given(seeds, st.integers(1, 30))
def test_the_thinnest_leave_no_gap_as_wide_as_the_one_they_fill(seed: int, count: int):
    """What is left over is nearer to bank and chosen than each chosen one was when it came."""
    bank, latents = cloud(seed, 10), cloud(seed + 1, 30)
    order = thinnest(latents, bank, count)
    assert len(set(order.tolist())) == count
    covered = bank
    gaps = []
    for index in order:
        gaps.append(np.linalg.norm(latents[index] - covered, axis=1).min())
        covered = np.concatenate([covered, latents[index][None]])
    assert (np.diff(gaps) <= 1e-5).all()
    rest = np.delete(latents, order, axis=0)
    if len(rest):
        left = np.linalg.norm(rest[:, None] - covered, axis=2).min(axis=1)
        assert left.max() <= gaps[-1] + 1e-5


def test_twins_are_taken_last_and_once():
    latents = np.array([[1, 0], [1, 0], [0, 2]], np.float32)
    assert thinnest(latents, np.zeros((1, 2), np.float32), 3).tolist() == [2, 0, 1]
