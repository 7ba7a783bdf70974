"""Edges as features: what they see and what they forgive."""

import numpy as np

from lirf.features import edges


def test_edges_see_shapes_and_forgive_brightness():
    for side, channels in ((8, 1), (9, 3), (16, 1), (64, 3)):
        rng = np.random.default_rng(side)
        images = rng.integers(0, 128, (3, channels, side, side), np.uint8)
        found = edges.extract(images)
        assert found.dtype == np.float64
        assert found.shape == edges.extract(images[:, :1]).shape
        np.testing.assert_allclose(edges.extract(images + 100), found, atol=1e-6)
        assert np.abs(edges.extract(images[..., ::-1]) - found).max() > 0.01
