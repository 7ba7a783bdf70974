"""Tangent correction: drop what of a candidate stands off the plane through its neighbours.

The K nearest rows span, by their principal directions, an estimate of the data manifold's tangent
plane at a candidate (local PCA; Kambhatla and Leen 1997). Only the residual, normal to the plane,
shrinks; where the candidate lies along the plane is its own invention and stays:

    C(z) = z - lambda (z - p),   p the projection of z onto the plane

so that displacement = lambda |z - p|, and a candidate between its neighbours keeps its place where
the published operator (`lirf.correction`) would average it away.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lirf.correction import BLOCK_BYTES, Corrected

FLAT = 1e-9
"""A direction in which the neighbours spread this little, relative to the first, is none."""

GRAM_FROM = 1024
"""From this D on the directions come of the K x K products of the neighbours, since a decomposition
of K x D takes longer than the search for the neighbours. It sees spreads down to GRAM_FLAT, below
which those of float32 latents are rounding."""

GRAM_FLAT = 1e-7

GRAM_BYTES = 2**21
"""Float64 neighbours held at a time then: what a core's cache holds."""


def correct(
    z_MD: Tensor, bank_ND: Tensor, indices_MK: Tensor, dimensions: int, lambda_: float
) -> Corrected:
    """Apply C to every z, with the bank rows `indices_MK` as its neighbours, in float64.

    The weights are the neighbours' affine coordinates of p: they sum to 1 and may be negative.

    Args:
        z_MD: scaled latents, one a row.
        bank_ND: scaled latents of the bank.
        indices_MK: int64, the K nearest bank rows of each z.
        dimensions: of the plane; fewer where the neighbours span fewer.
        lambda_: share of the residual that is taken away: 0 keeps z, 1 projects it.
    """
    assert 0 <= lambda_ <= 1, "lambda is a fraction"
    held = BLOCK_BYTES if z_MD.shape[1] < GRAM_FROM else GRAM_BYTES
    size = max(1, held // (8 * indices_MK.shape[1] * z_MD.shape[1]))
    latents, displacements, weights = [], [], []
    for z_BD, indices_BK in zip(z_MD.split(size), indices_MK.split(size), strict=True):
        residual_BD, weights_BK = _residual(z_BD.double(), bank_ND[indices_BK].double(), dimensions)
        latents.append((z_BD - lambda_ * residual_BD).float())
        displacements.append(lambda_ * residual_BD.norm(dim=1))
        weights.append(weights_BK)
    return Corrected(torch.cat(latents), torch.cat(displacements), torch.cat(weights))


def _residual(z_MD: Tensor, neighbours_MKD: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
    """Return z - p [M, D] and the affine coordinates of p [M, K]."""
    mean_MD = neighbours_MKD.mean(dim=1)
    centred_MKD = neighbours_MKD - mean_MD[:, None]
    corners_MKd, spread_Md, axes_MdD = _directions(centred_MKD, dimensions)
    offset_MD = z_MD - mean_MD
    along_Md = torch.einsum("mdx,mx->md", axes_MdD, offset_MD) * (spread_Md > 0)
    residual_MD = offset_MD - torch.einsum("md,mdx->mx", along_Md, axes_MdD)
    steps_Md = along_Md / torch.where(spread_Md > 0, spread_Md, 1)
    weights_MK = torch.einsum("mkd,md->mk", corners_MKd, steps_Md) + 1 / neighbours_MKD.shape[1]
    return residual_MD, weights_MK


def _directions(centred_MKD: Tensor, dimensions: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the first left singular vectors, singular values (0 where flat), and right vectors."""
    if centred_MKD.shape[2] < GRAM_FROM:
        corners_MKk, spread_Mk, axes_MkD = torch.linalg.svd(centred_MKD, full_matrices=False)
        corners_MKd, spread_Md = corners_MKk[..., :dimensions], spread_Mk[:, :dimensions]
        flat_Md = spread_Md <= FLAT * spread_Mk[:, :1]
        return corners_MKd, spread_Md.masked_fill(flat_Md, 0), axes_MkD[:, :dimensions]
    squares_MK, corners_MKK = torch.linalg.eigh(centred_MKD @ centred_MKD.mT)
    spread_Md = squares_MK.clamp(min=0).sqrt().flip(1)[:, :dimensions]
    spread_Md = spread_Md.masked_fill(spread_Md <= GRAM_FLAT * spread_Md[:, :1], 0)
    corners_MKd = corners_MKK.flip(2)[..., :dimensions]
    axes_MdD = corners_MKd.mT @ centred_MKD / torch.where(spread_Md > 0, spread_Md, 1)[..., None]
    return corners_MKd, spread_Md, axes_MdD
