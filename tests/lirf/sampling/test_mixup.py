"""Mixup lies between neighbours, memory on the real latents; both know seeds and nothing else."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from lirf.sampling import mixup, seeds


def latents(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 2, 1, 2)).astype(np.float32)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), pairs=st.integers(3, 8), k=st.integers(1, 4))
def test_a_sample_lies_between_a_latent_and_a_near_one_of_another_image(seed, pairs, k):
    real, group = latents(2 * pairs, seed), np.arange(2 * pairs) // 2
    flat = real.reshape(2 * pairs, -1).astype(np.float64)
    distance = np.linalg.norm(flat[:, None] - flat, axis=2)
    distance[group[:, None] == group] = np.inf
    for z in mixup.mixup(real, group, seeds.seeds(seed, "mixup", 12), k).reshape(12, -1):
        to_i = np.linalg.norm(z - flat, axis=1)
        detour = np.abs(to_i[:, None] + to_i - np.where(np.isinf(distance), -9, distance))
        i, j = np.unravel_index(detour.argmin(), detour.shape)
        assert detour[i, j] < 1e-5
        near = (distance[i, j] <= np.sort(distance[i])[k - 1] + 1e-6) | (
            distance[i, j] <= np.sort(distance[j])[k - 1] + 1e-6
        )
        assert near


def test_all_latents_all_neighbours_and_all_of_the_way_are_met():
    real = np.zeros((3, 1, 1, 3), np.float32)
    real[[0, 1, 2], 0, 0, [0, 1, 2]] = 1
    z = mixup.mixup(real, np.arange(3), seeds.seeds(0, "mixup", 6000), 2).reshape(-1, 3)
    np.testing.assert_allclose(z.sum(1), 1, atol=1e-6)
    sides = (z == 0).argmax(1)  # the corner that a point is not mixed of
    np.testing.assert_allclose(np.bincount(sides) / 6000, 1 / 3, atol=0.03)
    # u is uniform: along its side, so is a point.
    np.testing.assert_allclose(
        np.histogram(z[sides == 0, 1], 4, (0, 1))[0] / 2000, 1 / 4, atol=0.04
    )


def test_memory_draws_every_latent_as_often():
    real = latents(5)
    z = mixup.memory(real, seeds.seeds(0, "memory", 5000))
    found = (z[:, None] == real).all(axis=(2, 3, 4))
    assert found.any(axis=1).all()
    np.testing.assert_allclose(found.mean(axis=0), 1 / 5, atol=0.02)


def test_a_sample_depends_on_its_seed_alone():
    real, group, many = latents(9), np.arange(9), seeds.seeds(0, "any", 8)
    for draw in (lambda s: mixup.mixup(real, group, s, 3), lambda s: mixup.memory(real, s)):
        np.testing.assert_array_equal(draw(many)[[6, 2]], draw([many[6], many[2]]))
        assert draw(many).dtype == np.float32


def test_too_few_other_images_are_named():
    with pytest.raises(ValueError, match=r"^evaluate\.mixup_neighbours = 2: .* only 1 rows can"):
        mixup.mixup(latents(3), np.array([0, 0, 1]), [1], 2)
