"""The tangent operator, against the plane that it is defined by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.densify import tangent
from lirf.densify.tangent import correct

seeds = st.integers(0, 2**32 - 1)
lambdas = st.floats(0, 1)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def everyone(z: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Return all bank rows as the neighbours of every z."""
    return np.tile(bank, (len(z), 1, 1))


def close(got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@given(seeds, lambdas)
def test_the_residual_shrinks_and_the_rest_stays(seed: int, lambda_: float):
    z, bank = normal(seed, 6, 5), normal(seed + 1, 4, 5)
    whole = correct(z, everyone(z, bank), 2, 1.0)
    part = correct(z, everyone(z, bank), 2, lambda_)
    residual = z.astype(np.float64) - whole.latents
    close(part.latents, z - lambda_ * residual, 1e-5)
    close(part.displacement, lambda_ * np.linalg.norm(residual, axis=1), 1e-5)


@given(seeds)
def test_projecting_twice_is_projecting_once(seed: int):
    z, bank = normal(seed, 6, 5), normal(seed + 1, 4, 5)
    once = correct(z, everyone(z, bank), 2, 1.0).latents
    twice = correct(once, everyone(z, bank), 2, 1.0)
    close(twice.latents, once, 1e-5)
    assert float(twice.displacement.max()) < 1e-5


@given(seeds, st.integers(1, 3))
def test_points_of_the_plane_stay(seed: int, dimensions: int):
    """Neighbours that lie in a plane: any affine combination of them is where it belongs."""
    axes, offset = normal(seed, dimensions, 6), normal(seed + 1, 6)
    bank = normal(seed + 2, dimensions + 2, dimensions) @ axes + offset
    weights = normal(seed + 3, 5, dimensions + 2)
    z = (weights / weights.sum(axis=1, keepdims=True).clip(min=0.5)) @ (bank - offset) + offset
    done = correct(z, everyone(z, bank), dimensions, 1.0)
    close(done.latents, z, 1e-4)


@given(seeds, lambdas)
def test_the_weights_are_the_coordinates_of_the_projection(seed: int, lambda_: float):
    z, bank = normal(seed, 6, 5), normal(seed + 1, 4, 5)
    done = correct(z, everyone(z, bank), 2, lambda_)
    np.testing.assert_allclose(done.weights.sum(axis=1), 1, rtol=1e-7)
    projected = correct(z, everyone(z, bank), 2, 1.0).latents
    close(done.weights @ bank, projected, 1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_neighbours_in_one_place_are_a_point(count: int):
    z, bank = normal(0, 2, 3), np.ones((count, 3), np.float32)
    done = correct(z, everyone(z, bank), 2, 1.0)
    np.testing.assert_allclose(done.latents, 1, rtol=1.3e-6)
    np.testing.assert_allclose(done.weights.sum(axis=1), 1, rtol=1e-7)


@given(seeds, st.integers(1, 3))
def test_wide_latents_are_corrected_like_narrow_ones(seed: int, dimensions: int):
    """From some D on the plane comes from products of the neighbours, not from themselves."""
    z, bank = normal(seed, 6, 40), normal(seed + 1, 4, 40)
    bank[3] = bank[2]  # they span two directions
    narrow = correct(z, everyone(z, bank), dimensions, 0.7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tangent, "GRAM_FROM", 1)
        wide = correct(z, everyone(z, bank), dimensions, 0.7)
    np.testing.assert_allclose(wide.latents, narrow.latents, rtol=1.3e-6, atol=1e-5)
    np.testing.assert_allclose(wide.displacement, narrow.displacement, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(wide.weights, narrow.weights, rtol=1e-7, atol=1e-7)
