"""Samples without a network, out of the real latents alone: what a generator has to beat.

Every sample has a seed of its own, and its latent is the same whatever the count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lirf.neighbours import search
from lirf.sampling import seeds
from lirf.store.space import flat


def mixup(real_NCHW: np.ndarray, group_N: np.ndarray, seeds_M: Sequence[int], k: int) -> np.ndarray:
    """Return points between neighbours, [M, C, H, W].

        z = (1-u) z_i + u z_j

    i is uniform over the real latents, j over the k nearest to z_i (Euclidean) that are of another
    group, such as another image than z_i and its mirrored twin; u is uniform on [0, 1).

    Raises:
        ValueError: a latent has not k neighbours.
    """
    real_ND = flat(real_NCHW)
    try:
        nearest_NK, _ = search.nearest_of_others(real_ND, group_N, real_ND, group_N, k, "euclidean")
    except ValueError as error:
        raise ValueError(f"evaluate.mixup_neighbours = {k}: {error}") from None
    z_MCHW = np.empty((len(seeds_M), *real_NCHW.shape[1:]), np.float32)
    for m, seed in enumerate(seeds_M):
        generator = seeds.generator(seed)
        i = generator.integers(len(real_NCHW))
        j = nearest_NK[i, generator.integers(k)]
        u = np.float32(generator.random())
        z_MCHW[m] = (1 - u) * real_NCHW[i] + u * real_NCHW[j]
    return z_MCHW


def memory(real_NCHW: np.ndarray, seeds_M: Sequence[int]) -> np.ndarray:
    """Return real latents drawn with replacement, [M, C, H, W]: what learning by heart gives."""
    return real_NCHW[[seeds.generator(seed).integers(len(real_NCHW)) for seed in seeds_M]]
