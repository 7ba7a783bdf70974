"""The policy is monotone, judges candidates one by one, has no unit, and never fails silently."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.admission import (
    ADMITTED,
    TOO_CLOSE,
    TOO_FAR,
    Decision,
    Scales,
    decide,
    floor,
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
    return Admit(**{**values, **changes})


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
