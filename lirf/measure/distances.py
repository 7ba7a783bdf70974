"""The Frechet distance between samples and real images: of the Gaussians with their moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lirf.measure.rows import checked

FRECHET_MINIMUM = 100
"""Fewest rows on either side of a Frechet distance: below it, noise in the covariance decides."""


@dataclass(frozen=True)
class Frechet:
    """A squared Frechet distance, or None and the reason why there is none."""

    value: float | None
    reason: str | None = None


def frechet(fake_MF: np.ndarray, real_NF: np.ndarray) -> Frechet:
    """Return |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), the squared distance of Gaussians.

    (Dowson and Landau 1982; Heusel et al. 2017.) With S = R^T R, the eigenvalues of S1 S2 are the
    squared singular values of R1 R2^T: their sum needs no matrix square root, never turns complex
    and loses no digits when features outnumber images. Covariances divide by the rows less one.

    Fewer than FRECHET_MINIMUM rows on either side give no value: the estimate is biased upwards
    by noise in the covariances, and so much so there that it ranks noise.
    """
    fake_MF = checked(fake_MF, "samples", 1)
    real_NF = checked(real_NF, "reference images", 1)
    for rows, what in ((fake_MF, "samples"), (real_NF, "reference images")):
        if len(rows) < FRECHET_MINIMUM:
            return Frechet(None, f"{len(rows)} {what}: needs at least {FRECHET_MINIMUM}")
    mean_fake, mean_real = fake_MF.mean(axis=0), real_NF.mean(axis=0)
    factor_fake, factor_real = _factor(fake_MF - mean_fake), _factor(real_NF - mean_real)
    cross = np.linalg.svd(factor_fake @ factor_real.T, compute_uv=False).sum()
    spread = (factor_fake**2).sum() + (factor_real**2).sum() - 2 * cross
    # Both terms are squares; rounding alone can take the second below zero.
    return Frechet(float(((mean_fake - mean_real) ** 2).sum() + max(spread, 0.0)))


def _factor(centred_NF: np.ndarray) -> np.ndarray:
    """Return R with R^T R the covariance and no more rows than features."""
    scaled = centred_NF / np.sqrt(len(centred_NF) - 1)
    if len(scaled) <= scaled.shape[1]:
        return scaled
    return np.asarray(np.linalg.qr(scaled, mode="r"))
