"""Pairs of near images: those that every batch of the autoencoder's training is made of."""

from __future__ import annotations

import numpy as np
import torch

from lirf.neighbours.search import nearest


def neighbours(images_NCHW: np.ndarray, k: int) -> torch.Tensor:
    """Return the k nearest other images of every image by Euclidean distance in pixels, [N, k].

    Raises:
        ValueError: there are not k other images.
    """
    if k >= len(images_NCHW):
        raise ValueError(
            f"autoencoder.manifold_neighbours = {k}: there are only {len(images_NCHW)} training"
            " images; lower it or use more images"
        )
    pixels_ND = images_NCHW.reshape(len(images_NCHW), -1)
    indices_NK, _ = nearest(pixels_ND, pixels_ND, k, "euclidean", exclude_self=True)
    return torch.from_numpy(indices_NK)


def draw(
    neighbours_NK: torch.Tensor, queue: torch.Tensor, count: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return `count` pairs (i, j) with j drawn from kNN(i), two index tensors, and the new queue.

    The queue holds the images that are still to come as i: all N come in random order before any
    comes again. It is empty at first.
    """
    n, k = neighbours_NK.shape
    while len(queue) < count:
        queue = torch.cat([queue, torch.randperm(n, generator=generator)])
    i_P, queue = queue[:count], queue[count:]
    j_P = neighbours_NK[i_P, torch.randint(k, (count,), generator=generator)]
    return i_P, j_P, queue


def mirrored(x_BCHW: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror every pair, image i and image B/2 + i, with probability 1/2, both of it alike."""
    flip_P = torch.rand(len(x_BCHW) // 2, generator=generator) < 0.5
    return torch.where(flip_P.repeat(2)[:, None, None, None], x_BCHW.flip(-1), x_BCHW)
