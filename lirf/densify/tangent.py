"""Tangent correction: drop what of a candidate stands off the plane through its neighbours.

The K nearest rows span, by their principal directions, an estimate of the data manifold's tangent
plane at a candidate (local PCA; Kambhatla and Leen 1997). Only the residual, normal to the plane,
shrinks; where the candidate lies along the plane is its own invention and stays:

    C(z) = z - lambda (z - p),   p the projection of z onto the plane

so that displacement = lambda |z - p|, and a candidate between its neighbours keeps its place where
the published operator (`lirf.densify.slerp`) would average it away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FLAT = 1e-9
"""A direction in which the neighbours spread this little, relative to the first, is none."""

GRAM_FROM = 1024
"""From this D on the directions come of the K x K products of the neighbours, since a decomposition
of K x D takes longer than the search for the neighbours. It sees spreads down to GRAM_FLAT, below
which those of float32 latents are rounding."""

GRAM_FLAT = 1e-7


@dataclass(frozen=True)
class Corrected:
    """What C made of M latents."""

    latents: np.ndarray  # [M, D] float32, C(z)
    displacement: np.ndarray  # [M] float64, |z - C(z)|
    weights: np.ndarray  # [M, K] float64, of the K neighbours, summing to 1


def correct(
    z_MD: np.ndarray, neighbours_MKD: np.ndarray, dimensions: int, lambda_: float
) -> Corrected:
    """Apply C to every z, in float64.

    The weights are the neighbours' affine coordinates of p: they sum to 1 and may be negative.

    Args:
        z_MD: scaled latents, one a row.
        neighbours_MKD: the K nearest bank rows of each z.
        dimensions: of the plane; fewer where the neighbours span fewer.
        lambda_: share of the residual that is taken away: 0 keeps z, 1 projects it.
    """
    assert 0 <= lambda_ <= 1, "lambda is a fraction"
    residual_MD, weights_MK = _residual(z_MD, neighbours_MKD, dimensions)
    displacement_M = lambda_ * np.sqrt(np.vecdot(residual_MD, residual_MD))
    residual_MD *= lambda_
    latents_MD = np.subtract(z_MD, residual_MD, out=residual_MD)
    return Corrected(latents_MD.astype(np.float32), displacement_M, weights_MK)


def _residual(
    z_MD: np.ndarray, neighbours_MKD: np.ndarray, dimensions: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return z - p [M, D] and the affine coordinates of p [M, K]."""
    k = neighbours_MKD.shape[1]
    offset_MLD = np.concatenate([neighbours_MKD, z_MD[:, None]], axis=1, dtype=np.float64)
    offset_MLD -= offset_MLD[:, :k].mean(axis=1, keepdims=True)  # L = K + 1
    span = _decomposed if z_MD.shape[1] < GRAM_FROM else _multiplied
    steps_MK, along_MD = span(offset_MLD[:, :k], offset_MLD[:, k], dimensions)
    return offset_MLD[:, k] - along_MD, steps_MK + 1 / k


def _decomposed(
    centred_MKD: np.ndarray, offset_MD: np.ndarray, dimensions: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return p less the neighbours' mean, as a combination of the neighbours [M, K] and [M, D]."""
    corners_MKk, spread_Mk, axes_MkD = np.linalg.svd(centred_MKD, full_matrices=False)
    spread_Md, axes_MdD = spread_Mk[:, :dimensions], axes_MkD[:, :dimensions]
    flat_Md = spread_Md <= FLAT * spread_Mk[:, :1]
    along_Md = np.where(flat_Md, 0, np.matvec(axes_MdD, offset_MD))
    steps_Md = along_Md / np.where(flat_Md, 1, spread_Md)
    return np.matvec(corners_MKk[..., :dimensions], steps_Md), np.vecmat(along_Md, axes_MdD)


def _multiplied(
    centred_MKD: np.ndarray, offset_MD: np.ndarray, dimensions: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the same from products, which is faster for wide latents."""
    products_MKK = centred_MKD @ centred_MKD.mT
    squares_MK, corners_MKK = np.linalg.eigh(products_MKK)
    squares_Md, corners_MKd = (x[..., ::-1][..., :dimensions] for x in (squares_MK, corners_MKK))
    flat_Md = squares_Md <= GRAM_FLAT**2 * squares_MK[:, -1:]
    along_Md = np.vecmat(np.matvec(centred_MKD, offset_MD), corners_MKd)
    steps_MK = np.matvec(
        corners_MKd, np.where(flat_Md, 0, along_Md) / np.where(flat_Md, 1, squares_Md)
    )
    return steps_MK, np.vecmat(steps_MK, centred_MKD)
