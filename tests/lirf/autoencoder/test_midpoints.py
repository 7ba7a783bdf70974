"""Midpoints: which pairs, which latents, and a number that knows good points from bad ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.autoencoder import midpoints


def ramp(values: list[int]) -> np.ndarray:
    """Return flat grey images of the given values, uint8 [N, 1, 2, 2]."""
    return np.array(values, np.uint8)[:, None, None, None].repeat(2, axis=2).repeat(2, axis=3)


def test_pairs_are_the_nearest_of_other_groups_each_once() -> None:
    images = ramp([0, 1, 10, 12, 100])
    alone = np.arange(5)
    assert midpoints.pairs(images, alone, 1).tolist() == [[0, 1], [2, 3], [3, 4]]
    twins = np.array([0, 0, 1, 2, 3])  # 0 and 1 are an image and its mirror image
    assert midpoints.pairs(images, twins, 1).tolist() == [[0, 2], [1, 2], [2, 3], [3, 4]]


def test_more_neighbours_than_there_are_is_all_of_them() -> None:
    assert len(midpoints.pairs(ramp([0, 1, 2]), np.arange(3), 50)) == 3
    assert midpoints.pairs(ramp([0, 1]), np.zeros(2, np.int64), 3).shape == (0, 2)


@given(share=st.floats(0, 1), seed=st.integers(0, 100))
def test_the_way_is_straight_and_can_be_walked_backwards(share: float, seed: int) -> None:
    z = np.random.default_rng(seed).standard_normal((4, 2, 3, 3), np.float32)
    there, back = np.array([[0, 1], [2, 3]]), np.array([[1, 0], [3, 2]])
    found = midpoints.between(z, there, share)
    np.testing.assert_allclose(found, midpoints.between(z, back, 1 - share), atol=1e-6)
    np.testing.assert_allclose(midpoints.between(z, there, 0.0), z[[0, 2]])


def test_blended_pixels_are_the_mean() -> None:
    found = midpoints.blended(ramp([0, 3, 255]), np.array([[0, 1], [1, 2]]))
    assert found[:, 0, 0, 0].tolist() == [2, 129]


def test_midpoints_of_a_circle_that_stay_on_it_are_as_near_as_real_points() -> None:
    rng = np.random.default_rng(0)

    def on_circle(angle: np.ndarray, radius: float = 1.0) -> np.ndarray:
        return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    train, heldout = (on_circle(rng.uniform(0, 2 * np.pi, n)) for n in (300, 2000))
    between = rng.uniform(0, 2 * np.pi, 300)
    good, bad = on_circle(between), on_circle(between, 0.7)
    found = midpoints.judge(good, train, bad, train, heldout)
    assert found["midpoint_distance"] == pytest.approx(1, abs=0.3)
    assert found["midpoint_distance_ends"] == 1
    assert found["midpoint_distance_pixels"] > 50
    assert found["midpoint_frechet"] < 0.05
    assert midpoints.judge(bad, train, good, train, heldout)["midpoint_frechet"] > 0.05
    assert midpoints.judge(good[:9], train, bad, train, heldout)["midpoint_frechet"] is None
