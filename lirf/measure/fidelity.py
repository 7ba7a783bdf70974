"""Precision, recall, density and coverage: samples held against real images.

`fake_MF` are M samples with F features, `real_NF` the N reference images. Distances are Euclidean,
computed in blocks: memory grows with M and N, never with M times N times F. What lies in balls of
all sizes is counted over all pairs, so no search for nearest ones would do; a ball's radius is
measured by the arithmetic of what is compared with it, so what lies on its edge is inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lirf.measure.rows import checked
from lirf.store.rows import blocks

BLOCK_BYTES = 2**26
"""Of distances that are in memory at a time."""


@dataclass(frozen=True)
class Fidelity:
    """Precision, recall, density and coverage, in [0, 1] but for density, which may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def fidelity(fake_MF: np.ndarray, real_NF: np.ndarray, neighbours: int) -> Fidelity:
    """Return improved precision and recall, density and coverage from one pass over the distances.

    Every point's ball reaches to its `neighbours`-th nearest other point of its own set (closed).
    Precision: share of samples in a ball of a real image; recall: share of real images in a ball
    of a sample (Kynkaanniemi et al. 2019, equations 1 and 2). Density: number of real balls
    around a sample, over `neighbours`; coverage: share of real images with a sample in their
    ball (Naeem et al. 2020, equations 4 and 5).
    """
    if neighbours < 1:
        raise ValueError(f"neighbours = {neighbours}: must be at least 1")
    fake_MF = checked(fake_MF, "samples", neighbours + 1)
    real_NF = checked(real_NF, "reference images", neighbours + 1)
    radius_M, radius_N = _radii(fake_MF, neighbours), _radii(real_NF, neighbours)
    balls = precise = 0
    recalled_N = np.zeros(len(real_NF), bool)
    covered_N = np.zeros(len(real_NF), bool)
    for rows in blocks(len(fake_MF), 8 * len(real_NF), BLOCK_BYTES):
        distance_BN = _distances(fake_MF[rows], real_NF)
        inside_BN = distance_BN <= radius_N
        balls += int(inside_BN.sum())
        precise += int(inside_BN.any(axis=1).sum())
        covered_N |= inside_BN.any(axis=0)
        recalled_N |= (distance_BN <= radius_M[rows, None]).any(axis=0)
    m = len(fake_MF)
    return Fidelity(
        precision=precise / m,
        recall=float(recalled_N.mean()),
        density=balls / (neighbours * m),
        coverage=float(covered_N.mean()),
    )


def _radii(points_NF: np.ndarray, neighbours: int) -> np.ndarray:
    """Return for every point the distance to its `neighbours`-th nearest other point."""
    radii = []
    for rows in blocks(len(points_NF), 8 * len(points_NF), BLOCK_BYTES):
        distance_BN = _distances(points_NF[rows], points_NF)
        inside = np.arange(rows.start, rows.stop)
        distance_BN[np.arange(len(inside)), inside] = np.inf  # itself; its duplicates stay
        radii.append(np.partition(distance_BN, neighbours - 1, axis=1)[:, neighbours - 1])
    return np.concatenate(radii)


def _distances(a_BF: np.ndarray, b_NF: np.ndarray) -> np.ndarray:
    """Return Euclidean distances [B, N] by |a|^2 + |b|^2 - 2ab, about the mean of `b`.

    Shifting keeps the cancellation small. What rounding leaves of it is cut off: a square below
    1e-13 of those it is the difference of is zero.
    """
    centre_F = b_NF.mean(axis=0)
    a_BF, b_NF = a_BF - centre_F, b_NF - centre_F
    a_B, b_N = (a_BF**2).sum(axis=1), (b_NF**2).sum(axis=1)
    norms_BN = a_B[:, None] + b_N
    squared_BN = norms_BN - 2 * (a_BF @ b_NF.T)
    squared_BN[squared_BN < 1e-13 * norms_BN] = 0
    return np.sqrt(squared_BN)
