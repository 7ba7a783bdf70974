"""Is the point between two neighbours an image? Midpoints of latents, held against real images."""

from __future__ import annotations

from typing import Any

import numpy as np

from lirf.measure.distances import frechet
from lirf.neighbours.search import nearest, nearest_of_others

STRIP = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the way from one end to the other that a strip shows."""


def pairs(images_NCHW: np.ndarray, group_N: np.ndarray, k: int) -> np.ndarray:
    """Return the pairs (i, j), i < j, of every image and its k nearest of other groups, [P, 2].

    Nearest in pixels, whatever the autoencoder: all are asked for the same midpoints. An image
    and its mirrored twin are a group. Fewer than k where there are not so many; pairs come in the
    order of their images, each once.
    """
    _, sizes = np.unique(group_N, return_counts=True)
    k = min(k, len(images_NCHW) - int(sizes.max()))
    if k < 1:
        return np.empty((0, 2), np.int64)
    pixels_ND = images_NCHW.reshape(len(images_NCHW), -1)
    near_NK, _ = nearest_of_others(pixels_ND, group_N, pixels_ND, group_N, k, "euclidean")
    first_NK = np.arange(len(images_NCHW))[:, None].repeat(k, axis=1)
    return np.unique(np.sort(np.stack([first_NK, near_NK], axis=-1).reshape(-1, 2)), axis=0)


def between(z_NCHW: np.ndarray, pairs_P2: np.ndarray, share: float) -> np.ndarray:
    """Return the latents `share` of the straight way from the first of each pair to the second."""
    first_PCHW, second_PCHW = z_NCHW[pairs_P2[:, 0]], z_NCHW[pairs_P2[:, 1]]
    return (1 - share) * first_PCHW + share * second_PCHW


def blended(images_NCHW: np.ndarray, pairs_P2: np.ndarray) -> np.ndarray:
    """Return the mean of each pair's pixels, uint8: what a space of no use would decode."""
    return np.rint(between(images_NCHW.astype(np.float64), pairs_P2, 0.5)).astype(np.uint8)


def judge(
    middle_PF: np.ndarray,
    ends_NF: np.ndarray,
    blended_PF: np.ndarray,
    train_NF: np.ndarray,
    heldout_HF: np.ndarray,
) -> dict[str, Any]:
    """Return how far midpoints are from real images, from features of all of them.

    `midpoint_distance` is the mean distance of a decoded midpoint to the nearest held-out image
    over that of a training image, which is real and as new to them: 1 where midpoints are as near
    to real images as real images are. `_ends` is the same of the training images' own round trip,
    what the decoder alone costs, and `_pixels` of the blended pixels, what a point between two
    images is without a latent space. `midpoint_frechet` is the Frechet distance of the midpoints
    to the held-out images, None where there are too few.
    """
    real = _distance(train_NF, heldout_HF)
    sets = {"": middle_PF, "_ends": ends_NF, "_pixels": blended_PF}
    ratios = {
        f"midpoint_distance{name}": _distance(one, heldout_HF) / real for name, one in sets.items()
    }
    return {**ratios, "midpoint_frechet": frechet(middle_PF, heldout_HF).value}


def _distance(rows_MF: np.ndarray, heldout_HF: np.ndarray) -> float:
    """Return the mean distance of a row to its nearest held-out one."""
    _, distance_M1 = nearest(rows_MF, heldout_HF, 1, "euclidean")
    return float(distance_M1.mean(dtype=np.float64))
