"""The pull of a round: its candidates corrected, and measured against the bank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lirf import correction, neighbours, tangent
from lirf.neighbours import Metric
from lirf.params import Correct
from lirf.space import flat

METRICS: dict[str, Metric] = {"slerp": "cosine", "tangent": "euclidean"}
"""By which an operator's neighbours are near: directions on a sphere, points of a plane."""


@dataclass(frozen=True)
class Pull:
    """M corrected candidates, and the same measures of the bank's real rows."""

    latents: np.ndarray  # [M, C, H, W] float32, C(z)
    parents: np.ndarray  # [M, K] int64, the bank rows it was corrected towards
    weights: np.ndarray  # [M, K] float64, of the parents, summing to 1
    displacement: np.ndarray  # [M] float64, |z - C(z)|
    novelty: np.ndarray  # [M] float64, distance of C(z) to the nearest real row
    anchors: np.ndarray  # [real rows] float64, displacement of each real row, left out
    spacing: float  # median distance of a real row to the nearest one of another group


def references(config: Correct, real_N: np.ndarray) -> np.ndarray:
    """Return the indices of the bank rows that can be neighbours."""
    return np.flatnonzero(real_N) if config.references == "real" else np.arange(len(real_N))


def correct(
    z_MCHW: np.ndarray,
    bank_NCHW: np.ndarray,
    real_N: np.ndarray,
    group_N: np.ndarray,
    config: Correct,
    lambda_: float,
) -> Pull:
    """Apply C to candidates, and to every real row as if it were a candidate itself.

    Args:
        z_MCHW: candidates, scaled, float32.
        bank_NCHW: the bank, scaled, float32.
        real_N: bool, which bank rows are real; mirrored images are.
        group_N: int, the same for an image and its mirrored twin. No row of a real row's own group
            is its neighbour.
        config: the numbers of C.
        lambda_: fraction of the way towards the reference.

    Raises:
        ValueError: the bank has too few rows for `correct.neighbours`.
    """
    z_MD, bank_ND = flat(z_MCHW), flat(bank_NCHW)
    real_RD, group_R = bank_ND[real_N], group_N[real_N]
    pool_P = references(config, real_N)
    pool_PD, group_P = bank_ND[pool_P], group_N[pool_P]
    k, metric = config.neighbours, METRICS[config.operator]
    found_MK, _ = neighbours.nearest(z_MD, pool_PD, k, metric)
    done = _apply(z_MD, pool_PD, found_MK, config, lambda_)
    latents_MD = done.latents.numpy()
    novelty_M1 = neighbours.nearest(latents_MD, real_RD, 1, "euclidean")[1]
    others_RK, _ = neighbours.nearest_of_others(real_RD, group_R, pool_PD, group_P, k, metric)
    left_out = _apply(real_RD, pool_PD, others_RK, config, lambda_)
    return Pull(
        latents=latents_MD.reshape(z_MCHW.shape),
        parents=pool_P[found_MK],
        weights=done.weights.numpy(),
        displacement=done.displacement.numpy(),
        novelty=novelty_M1[:, 0].astype(np.float64),
        anchors=left_out.displacement.numpy(),
        spacing=neighbours.spacing(real_RD, group_R),
    )


def _apply(
    z_MD: np.ndarray, pool_PD: np.ndarray, indices_MK: np.ndarray, config: Correct, lambda_: float
) -> correction.Corrected:
    """Apply C on the CPU: a pass over K rows a candidate, less than its transfer would cost."""
    z, pool, indices = (torch.from_numpy(x) for x in (z_MD, pool_PD, indices_MK))
    if config.operator == "tangent":
        return tangent.correct(z, pool, indices, config.dimensions, lambda_)
    return correction.correct(z, pool, indices, config.temperature, lambda_)
