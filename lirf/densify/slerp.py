"""The correction operator C: pull a generated latent towards its neighbours in the bank.

That of LIRF (arXiv 2509.19903). A latent is taken apart into its direction and its norm. The
direction turns by a fraction lambda of the angle towards the mean of the K nearest bank rows,
along the great circle; the norm moves by the same fraction towards their mean norm. Two
consequences, for fixed neighbours and weights:

    angle to the reference:   theta -> (1 - lambda) theta
    displacement:             |z - C(z)| = 2 |z| sin(lambda theta / 2)   when |z| is their mean norm

`reference` and `slerp` compute in the precision of their arguments. `correct` computes in float64
whatever the autocast, because a direction is ill-conditioned near the antipode, and returns
float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CANCELLED = 16 * torch.finfo(torch.float32).eps
"""A mean this much shorter than its parts is what float32 latents leave of a sum that is zero."""


@dataclass(frozen=True)
class Corrected:
    """What C made of M latents."""

    latents: Tensor  # [M, D] float32, C(z)
    displacement: Tensor  # [M] float64, |z - C(z)|
    weights: Tensor  # [M, K] float64, of the K neighbours, summing to 1


def correct(z_MD: Tensor, neighbours_MKD: Tensor, temperature: float, lambda_: float) -> Corrected:
    """Apply C to every z.

    A direction that does not exist is not invented: where z is zero the reference's is taken;
    where the neighbours cancel (or are zero) z keeps its own; where both are missing C(z) = 0.

    Args:
        z_MD: scaled latents, one a row.
        neighbours_MKD: the K nearest bank rows of each z by cosine similarity.
        temperature: T of the softmax over the K similarities.
        lambda_: fraction of the way towards the reference: 0 keeps z, 1 replaces it.
    """
    assert 0 <= lambda_ <= 1, "lambda is a fraction"
    z_MD, neighbours_MKD = z_MD.double(), neighbours_MKD.double()
    direction_MD, norm_M = normalize(z_MD), z_MD.norm(dim=1)
    cosine_MK = torch.einsum("md,mkd->mk", direction_MD, normalize(neighbours_MKD))
    towards_MD, radius_M, weights_MK = reference(neighbours_MKD, cosine_MK, temperature)
    length_M = (1 - lambda_) * norm_M + lambda_ * radius_M
    corrected_MD = length_M[:, None] * slerp(direction_MD, towards_MD, lambda_)
    displacement_M = (z_MD - corrected_MD).norm(dim=1)
    return Corrected(corrected_MD.float(), displacement_M, weights_MK)


def reference(
    neighbours_MKD: Tensor, cosine_MK: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the direction and the norm that the neighbours pull towards, and their weights.

    weights w = softmax(cosine / T); direction u = normalize(sum_j w_j z_j); radius
    r_bar = sum_j w_j |z_j|. Neighbours that cancel have no direction: it is 0.

    Returns:
        direction_MD (unit or zero), radius_M, weights_MK.
    """
    weights_MK = torch.softmax(cosine_MK / temperature, dim=1)
    radius_M = (weights_MK * neighbours_MKD.norm(dim=2)).sum(dim=1)
    mean_MD = torch.einsum("mk,mkd->md", weights_MK, neighbours_MKD)
    cancelled_M = mean_MD.norm(dim=1) <= CANCELLED * radius_M
    return normalize(mean_MD.masked_fill(cancelled_M[:, None], 0)), radius_M, weights_MK


def slerp(a_MD: Tensor, b_MD: Tensor, fraction: float) -> Tensor:
    """Turn unit vectors a towards b by `fraction` of the angle between them.

    Stable at every angle: it is 2 atan2(|a - b|, |a + b|), and the other axis of the great circle
    comes from a + b, which keeps its digits where they count, near the antipode. Where b = -a
    every great circle is a shortest one, and a fixed one is used. A zero row is no direction: the
    other one is returned.
    """
    sum_MD = a_MD + b_MD
    sum_M1 = sum_MD.norm(dim=1, keepdim=True)
    theta_M1 = 2 * torch.atan2((a_MD - b_MD).norm(dim=1, keepdim=True), sum_M1)
    antipodal_M1 = sum_M1 <= 16 * torch.finfo(a_MD.dtype).eps
    axis_MD = _perpendicular(torch.where(antipodal_M1, _least_axis(a_MD), sum_MD), a_MD)
    turned_MD = torch.cos(fraction * theta_M1) * a_MD + torch.sin(fraction * theta_M1) * axis_MD
    turned_MD = torch.where((b_MD == 0).all(dim=1, keepdim=True), a_MD, turned_MD)
    return torch.where((a_MD == 0).all(dim=1, keepdim=True), b_MD, turned_MD)


def normalize(x: Tensor) -> Tensor:
    """Scale the last axis to length 1; zero stays zero."""
    norm = x.norm(dim=-1, keepdim=True)
    return x / torch.where(norm > 0, norm, 1)


def _perpendicular(x_MD: Tensor, a_MD: Tensor) -> Tensor:
    """Return the unit vector of the part of x that is perpendicular to the unit vector a."""
    return normalize(x_MD - (x_MD * a_MD).sum(dim=1, keepdim=True) * a_MD)


def _least_axis(a_MD: Tensor) -> Tensor:
    """Return the coordinate axis that a points along least: never parallel to a, unless D = 1."""
    axes_MD = torch.zeros_like(a_MD)
    return axes_MD.scatter_(1, a_MD.abs().argmin(dim=1, keepdim=True), 1)
