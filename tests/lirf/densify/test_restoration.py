"""Restoration is the optimal-transport map between two Gaussians, and nothing where nothing is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.densify import restoration
from lirf.densify.restoration import fit
from lirf.store.rows import Room

seeds = st.integers(0, 2**32 - 1)


def cloud(seed: int, count: int, dimensions: int = 4) -> np.ndarray:
    """Return correlated latents away from the origin."""
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((dimensions, dimensions)) + 2 * np.eye(dimensions)
    points = random.standard_normal((count, dimensions)) @ mixing + 3 * random.random(dimensions)
    return points.astype(np.float32)


@given(seeds)
def test_the_set_gets_mean_and_covariance_of_the_real(seed: int):
    shrunk, real = 0.3 * cloud(seed, 40), cloud(seed + 1, 20)
    restored = fit(shrunk, real, 1.0).apply(shrunk)
    np.testing.assert_allclose(restored.mean(axis=0), real.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(np.cov(restored.T), np.cov(real.T), atol=2e-2, rtol=2e-3)


@given(seeds, st.floats(0, 1))
def test_strength_is_the_share_of_the_way(seed: int, strength: float):
    some, real = cloud(seed, 40), cloud(seed + 1, 20)
    whole = fit(some, real, 1.0).apply(some)
    part = fit(some, real, strength).apply(some)
    np.testing.assert_allclose(part, some + strength * (whole - some), atol=1e-4)


@given(seeds)
def test_a_set_that_has_them_stays(seed: int):
    real = cloud(seed, 30)
    np.testing.assert_allclose(fit(real, real, 1.0).apply(real), real, atol=1e-3)


@given(seeds)
def test_it_is_the_map_that_moves_least(seed: int):
    """Any other map to that Gaussian is this one after a rotation about the mean."""
    some, real = cloud(seed, 400), cloud(seed + 1, 50)
    restored = fit(some, real, 1.0).apply(some).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(real.T))
    random = np.random.default_rng(seed + 2)
    turn = np.linalg.qr(random.standard_normal((4, 4)))[0]
    root, inverse = (vectors * values**p @ vectors.T for p in (0.5, -0.5))
    turned = (restored - restored.mean(axis=0)) @ (inverse @ turn @ root) + restored.mean(axis=0)
    np.testing.assert_allclose(np.cov(turned.T), np.cov(real.T), atol=5e-2, rtol=5e-3)
    assert ((restored - some) ** 2).sum() <= ((turned - some) ** 2).sum() * (1 + 1e-6)


@given(seeds)
def test_what_lies_outside_of_the_span_of_the_real_stays(seed: int):
    some = cloud(seed, 30, 6)
    real = cloud(seed + 1, 4, 6)  # spans three axes about its mean
    map_ = fit(some, real, 1.0)
    assert map_.axes.shape == (3, 6)
    outside = np.eye(6) - map_.axes.T @ map_.axes
    moved = (map_.apply(some) - some) @ outside
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-3)


def test_a_set_without_variance_is_only_moved():
    same, real = np.ones((5, 3), np.float32), cloud(0, 20, 3)
    restored = fit(same, real, 1.0).apply(same)
    np.testing.assert_allclose(restored, np.tile(real.mean(axis=0), (5, 1)), atol=1e-5)


@pytest.mark.parametrize("count", [2, 3])
def test_few_latents_stretch_along_what_they_span(count: int):
    few, real = cloud(1, count), cloud(0, 30)
    restored = fit(few, real, 1.0).apply(few)
    assert np.isfinite(restored).all()
    assert np.linalg.matrix_rank(restored - restored.mean(axis=0), tol=1e-3) == count - 1


def test_many_rows_are_mapped_like_few(monkeypatch: pytest.MonkeyPatch):
    some, real = cloud(0, 300), cloud(1, 200)
    expected = fit(some, real, 1.0).apply(some)
    monkeypatch.setattr(restoration, "WHOLE_BYTES", 0)
    monkeypatch.setattr(restoration, "BLOCK_BYTES", 7 * 8 * 4)
    np.testing.assert_allclose(
        fit(some, real, 1.0).apply_each(some, Room())[:], expected, atol=1e-4
    )
