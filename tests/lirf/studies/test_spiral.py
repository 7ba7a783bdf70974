"""The spiral is what it says: known length, known distance, uniform along its length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from lirf.studies import spiral
from lirf.studies.spiral import CIRCLE, START, Spiral, measure, transport

CLEAN = Spiral(turns=1.5, noise=0.0)
NOISY = Spiral(turns=1.5, noise=0.1)
turns = st.floats(0.25, 4)
seeds = st.integers(0, 2**32 - 1)


@given(turns)
def test_equal_arcs_are_equal_lengths(turns: float):
    curve = Spiral(turns, 0.0)
    knots = curve.at(np.linspace(0, curve.length, 20_001))
    steps = np.linalg.norm(np.diff(knots, axis=0), axis=1)
    assert steps.sum() == pytest.approx(curve.length, rel=1e-6)
    np.testing.assert_allclose(steps, curve.length / 20_000, rtol=1e-5)


@given(st.floats(1.1, 2.9), st.floats(-0.45, 0.45))
def test_arms_are_one_apart_and_distance_is_along_the_normal(angle: float, offset: float):
    """The normal of an involute is the tangent of its circle: the distance is known in full."""
    curve = Spiral(turns=2.0, noise=0.0)
    phi = START + np.pi * angle  # not at the ends
    tangent = np.array([np.sin(phi), -np.cos(phi)])  # from the circle to the curve
    point = CIRCLE * np.array([np.cos(phi), np.sin(phi)]) + (CIRCLE * phi + offset) * tangent
    assert curve.distance(point[None])[0] == pytest.approx(abs(offset), abs=1e-4)
    if angle < 2:
        assert curve.distance((point + tangent)[None])[0] == pytest.approx(abs(offset), abs=1e-4)


@given(st.integers(1, 300), seeds)
def test_clean_points_lie_on_the_curve_one_in_each_stretch(count: int, seed: int):
    xy = CLEAN.points(count, seed)
    assert CLEAN.distance(xy).max() < 1e-4
    stretch = np.floor(arc(xy) / CLEAN.length * count - 1e-6)
    np.testing.assert_allclose(np.sort(stretch), np.arange(count), atol=1)


def arc(xy: np.ndarray) -> np.ndarray:
    """Return the arc position of points on the clean curve: their radius gives the angle."""
    phi2 = (xy**2).sum(axis=1) / CIRCLE**2 - 1
    return CIRCLE * (phi2 - START**2) / 2


def test_a_point_is_uniform_along_the_curve():
    first = np.concatenate([CLEAN.points(5, seed)[:1] for seed in range(400)])
    assert kstest(arc(first) / CLEAN.length, "uniform").pvalue > 0.01


def test_the_noise_has_its_radius_and_the_seed_decides():
    xy, clean = NOISY.points(4000, 1), CLEAN.points(4000, 1)
    np.testing.assert_allclose((xy - clean).std(axis=0), 0.1, rtol=0.05)
    np.testing.assert_array_equal(xy, NOISY.points(4000, 1))
    assert (xy != NOISY.points(4000, 2)).any()


def test_covered_is_the_share_within_the_noise_radius():
    middle = NOISY.at(np.array([NOISY.length / 2]))
    assert NOISY.covered(middle) == pytest.approx(0.2 / NOISY.length, abs=0.002)
    half = NOISY.at(np.linspace(0, NOISY.length / 2, 500))
    assert NOISY.covered(half) == pytest.approx(0.5 + 0.1 / NOISY.length, abs=0.002)
    assert NOISY.covered(half + np.array([10.0, 0.0])) == 0


@given(seeds, st.floats(-3, 3), st.floats(-3, 3))
def test_transport_is_a_distance(seed: int, x: float, y: float):
    rng = np.random.default_rng(seed)
    a, b, c = rng.standard_normal((3, 20, 2))
    assert transport(a, rng.permutation(a)) == 0
    assert transport(a, b) == pytest.approx(transport(b, a))
    assert transport(a, c) <= transport(a, b) + transport(b, c) + 1e-12
    assert transport(a, a + np.array([x, y])) == pytest.approx(np.hypot(x, y), abs=1e-9)


def test_the_truth_scores_as_the_truth_and_copies_as_copies():
    train, truth = NOISY.points(20, 0), NOISY.points(1000, 1)
    true = measure(NOISY, NOISY.points(1000, 2), train, truth)
    assert true["covered"] > 0.99
    assert true["off"] < 0.01
    # In two dimensions the distance to the curve is the half-normal distribution's mean.
    assert true["to_curve"] == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=0.1)
    memorised = measure(NOISY, np.repeat(train, 50, axis=0), train, truth)
    assert memorised["memorised"] == 1
    assert memorised["nearest"] == 0
    assert memorised["covered"] < 0.4
    assert memorised["transport"] > 2 * true["transport"]
    beside = measure(NOISY, train + spiral.OFF * 10, train, train)
    assert beside["off"] == 1
