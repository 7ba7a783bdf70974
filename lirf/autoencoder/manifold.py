"""The manifold loss: pairs of near images keep their relative distances in the latents."""

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


def loss(
    xi_PCHW: torch.Tensor, xj_PCHW: torch.Tensor, zi_PCHW: torch.Tensor, zj_PCHW: torch.Tensor
) -> torch.Tensor:
    """Compare the distances of P pairs in pixels (x) and in latents (z), each up to its scale.

        mean_p ( d(x_i, x_j) / median_p d(x_i, x_j)  -  d(z_i, z_j) / median_p d(z_i, z_j) )^2

    The manifold loss of LIRF's first version (arXiv 2509.19903v1), with its scale s the ratio of
    the two medians over the same pairs, and divided by the square of the latents' median, which
    is not detached: the loss does not change when either side is multiplied by a number, so it
    neither shrinks nor stretches the latents, and it is 0 for every similarity. Euclidean
    distances; fp32 whatever the autocast.
    """
    x_P = _relative(xi_PCHW, xj_PCHW)
    z_P = _relative(zi_PCHW, zj_PCHW)
    return (x_P - z_P).square().mean()


def _relative(a_PCHW: torch.Tensor, b_PCHW: torch.Tensor) -> torch.Tensor:
    """Return the P distances in units of their median (as they are, should that be 0)."""
    difference_PD = (a_PCHW.float() - b_PCHW.float()).flatten(1)
    distance_P = torch.linalg.vector_norm(difference_PD, dim=1)
    middle = distance_P.median()
    return distance_P / torch.where(middle > 0, middle, 1.0)
