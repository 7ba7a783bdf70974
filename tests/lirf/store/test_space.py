"""Scaling: one place, one law."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lirf.store.space import Space

finite = st.floats(-100, 100)


@given(
    mean=st.tuples(finite, finite),
    std=st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)),
    seed=st.integers(0, 99),
)
def test_unscale_is_the_inverse_of_scale(
    mean: tuple[float, float], std: tuple[float, float], seed: int
):
    space = Space("f00d", (2, 3, 1), mean, std)
    z = np.random.default_rng(seed).normal(size=(4, 2, 3, 1)).astype(np.float32)
    assert space.unscale(z).dtype == np.float32
    np.testing.assert_allclose(space.scale(space.unscale(z)), z, atol=1e-5 * (1 + 100 / min(std)))
    np.testing.assert_array_equal(space.unscale(torch.from_numpy(z)).numpy(), space.unscale(z))


def test_measured_scaling_gives_mean_0_and_variance_1_per_channel():
    raw = np.random.default_rng(0).normal([[[3.0]], [[-1.0]]], [[[2.0]], [[0.1]]], (500, 2, 4, 4))
    space = Space.measure(raw.astype(np.float32), "f00d")
    z = space.scale(raw.astype(np.float32))
    np.testing.assert_allclose(z.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axis=(0, 2, 3)), 1, atol=1e-5)
    assert Space.from_json(space.to_json()) == space


def test_a_constant_channel_cannot_be_scaled():
    raw = np.random.default_rng(0).normal(size=(5, 2, 2, 2)).astype(np.float32)
    raw[:, 1] = 3
    with pytest.raises(ValueError, match=r"latent channel 1 is constant.*latent_channels"):
        Space.measure(raw, "f00d")


def test_require_names_what_differs():
    space = Space("f00d", (1, 2, 2), (0.0,), (1.0,))
    space.require(space, "bank")
    with pytest.raises(ValueError, match="bank: latents of another space: std is"):
        space.require(Space("f00d", (1, 2, 2), (0.0,), (2.0,)), "bank")
