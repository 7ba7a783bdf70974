"""Collapse: how far a learned velocity field has become the one that knows its anchors by heart.

The exact minimiser of the loss over N anchors, u* (`rectified.closed_form`), ends every path on an
anchor; a field that nears it draws memorised samples. Three looks at that, none of which needs a
held-out image: the distance to u* along the field's own paths, how near the paths end to an anchor
in comparison with how near the anchors are to one another, and where among the anchors memorised
samples fall. Beside them the two directed Hausdorff distances between sets of latents.

An image and its mirrored twin are two anchors of u* and one *group*: a twin is never the "other"
image. Nor is a near-duplicate, by the rule of `lirf.measure.duplicates`: an image that is there a
second time would hide collapse. Shapes: `M` paths, `N` anchors, `S` steps of a path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lirf.measure import duplicates
from lirf.neighbours import search
from lirf.objectives import rectified
from lirf.objectives.base import Field
from lirf.solvers import fixed


@dataclass(frozen=True)
class Paths:
    """Where paths ended, and how far the field was from u* on the way."""

    ends: Tensor  # [M, ...] float32 on the CPU
    times: np.ndarray  # float64 [S], the times at which the field was asked
    distance: np.ndarray  # float64 [S], sqrt(mean |v - u*|^2 / mean |u*|^2) over the paths


@dataclass(frozen=True)
class Nearness:
    """The nearest anchor of each of M latents, and how much nearer it is than another image."""

    anchor: np.ndarray  # int64 [M]
    distance: np.ndarray  # float64 [M]
    ratio: np.ndarray  # float64 [M], distance to the first image over distance to the second


@dataclass(frozen=True)
class Bin:
    """Anchors of about one local density, and the latents whose nearest anchor is among them."""

    low: float  # least and greatest distance of its anchors to their k-th nearest other image
    high: float
    anchors: int
    samples: int
    memorised: float | None  # share of the samples; None where there is no sample


@dataclass(frozen=True)
class Directed:
    """A directed Hausdorff distance, which is a maximum, and the mean that it bounds."""

    greatest: float
    mean: float


def ends(field: Field, x0_M: Tensor, steps: int, batch: int) -> Tensor:
    """Return where the field's paths from the noise `x0_M` [M, ...] end, on the CPU.

    Euler's method in `steps` equal intervals, `batch` paths at a time.

    Raises:
        ValueError: a path is not finite; names its place.
    """
    ends_M = torch.cat([_euler(field, x_B, steps).cpu() for x_B in x0_M.split(batch)])
    finite_M = ends_M.flatten(1).isfinite().all(dim=1)
    if not bool(finite_M.all()):
        raise ValueError(
            f"path {int(finite_M.int().argmin())} is not finite: the network diverges there;"
            " more train steps or a lower train.learning_rate"
        )
    return ends_M


def follow(field: Field, x0_M: Tensor, anchors_N: Tensor, steps: int, batch: int) -> Paths:
    """Follow the field's paths as `ends` does, and compare it with u* wherever it is asked.

    That is at t = 0, 1/S, ..., 1 - 1/S, never at 1: there u* = (x_i - x) / (1 - t) diverges on
    every path that misses its anchor, and the ratio tends to 1 there whatever the field. The
    factor 1 / (1 - t) cancels at all other times: (1-t) |v - u*| is the distance between the data
    points that v and u* predict, (1-t) |u*| that from x to the latter. So 0 is the memorising
    field itself and 1 is no nearer to it than a field that stands still. Euler's last step on u*
    ends at a mean of the anchors that is, but for ties, one anchor: u* is followed to its end.

    Raises:
        ValueError: a path is not finite; names its place.
    """
    apart_S, length_S = np.zeros(steps), np.zeros(steps)

    def compared(x_B: Tensor, t_B: Tensor) -> Tensor:
        v_B, u_B = field(x_B, t_B), rectified.closed_form(x_B, t_B, anchors_N)
        at = round(float(t_B[0]) * steps)
        apart_S[at] += float((v_B - u_B).double().square().sum())
        length_S[at] += float(u_B.double().square().sum())
        return v_B

    ends_M = ends(compared, x0_M, steps, batch)
    return Paths(ends_M, np.arange(steps) / steps, np.sqrt(apart_S / length_S))


def near_duplicates(anchors_ND: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """Return the groups that are near-duplicates of each anchor's, int64 [N, L], filled with -1.

    Raises:
        ValueError: a row is not finite.
    """
    return duplicates.of_rows(anchors_ND, group_N)


def nearness(
    latents_MD: np.ndarray, anchors_ND: np.ndarray, group_N: np.ndarray, alike_NL: np.ndarray
) -> Nearness:
    """Find the nearest anchor of every latent, and the nearest one of another image than that.

    `alike_NL` are the `near_duplicates`.

    Raises:
        ValueError: there are no two groups, or a row is not finite.
    """
    return _nearness(latents_MD, np.full(len(latents_MD), -1), anchors_ND, group_N, alike_NL)


def own_nearness(anchors_ND: np.ndarray, group_N: np.ndarray, alike_NL: np.ndarray) -> Nearness:
    """Return `nearness` of every anchor to those of other images: leave-one-out.

    An anchor is left out with its group and its near-duplicates.

    Raises:
        ValueError: there are no three groups, or a row is not finite.
    """
    return _nearness(anchors_ND, group_N, anchors_ND, group_N, alike_NL, alike_NL)


def score(samples: Nearness, own: Nearness) -> float:
    """Return the collapse of samples onto anchors: 1 - mean ratio / mean ratio of the anchors.

    An anchor that is left out stands to the others as a new image of the same kind would. So
    samples that are as new as that score 0, memorised ones 1, and samples that lie between the
    anchors, such as those of a field that has learned little, score slightly below 0. Unlike the
    distance to the nearest anchor, the ratio does not fall because samples crowd at the mean.
    """
    return 1 - float(samples.ratio.mean() / own.ratio.mean())


def by_density(
    samples: Nearness,
    memorised_M: np.ndarray,
    anchors_ND: np.ndarray,
    group_N: np.ndarray,
    k: int,
    bins: int,
) -> list[Bin]:
    """Share the anchors out by local density, densest first, and the memorised samples among them.

    `memorised_M` (bool) says which samples are memorised. The density of an anchor is measured by
    its distance to its k-th nearest anchor of another group; bins hold equally many anchors, give
    or take one. Memorisation is not even: it depends on how well the surroundings of an anchor are
    covered (arXiv 2606.14390).

    Raises:
        ValueError: fewer than k anchors of other groups, or fewer anchors than bins.
    """
    if bins > len(anchors_ND):
        raise ValueError(f"{bins} bins for {len(anchors_ND)} anchors; lower the number of bins")
    reach_N = search.nearest_of_others(anchors_ND, group_N, anchors_ND, group_N, k, "euclidean")[1][
        :, -1
    ]
    found = []
    for members in np.array_split(np.argsort(reach_N, kind="stable"), bins):
        here_M = np.isin(samples.anchor, members)
        memorised = float(memorised_M[here_M].mean()) if here_M.any() else None
        low, high = float(reach_N[members[0]]), float(reach_N[members[-1]])
        found.append(Bin(low, high, len(members), int(here_M.sum()), memorised))
    return found


def hausdorff(from_MD: np.ndarray, to_ND: np.ndarray) -> Directed:
    """Return how far the points of one set are from their nearest points of another.

    The Hausdorff distance is the greater of the two directions, which mean different things: from
    a bank to real latents, whether it strays; from real latents to a bank, whether it covers them.
    """
    distance_M = search.nearest(from_MD, to_ND, 1, "euclidean")[1][:, 0].astype(np.float64)
    return Directed(float(distance_M.max()), float(distance_M.mean()))


@torch.no_grad()
def _euler(field: Field, x_B: Tensor, steps: int) -> Tensor:
    """Return x at t = 1 from `x_B` at t = 0, in equal steps.

    Its clock counts steps, so that every time is rounded once, as k / S.
    """

    def a_step(x_B: Tensor, k_B: Tensor) -> Tensor:
        return field(x_B, (k_B.double() / steps).to(x_B.dtype)) / steps

    clock_S = torch.arange(steps + 1, dtype=x_B.dtype, device=x_B.device)
    return fixed.integrate("euler", a_step, x_B, clock_S)


def _nearness(
    query_MD: np.ndarray,
    group_M: np.ndarray,
    anchors_ND: np.ndarray,
    group_N: np.ndarray,
    alike_NL: np.ndarray,
    skipped_ML: np.ndarray | None = None,
) -> Nearness:
    """Find the nearest anchors of two images, neither of them the query's own or skipped."""
    sizes = np.unique(group_N, return_counts=True)[1]
    widest, skipped = int(sizes.max()), 0 if skipped_ML is None else skipped_ML.shape[1]
    images = 2 + alike_NL.shape[1] + skipped
    left = len(anchors_ND) - (widest if np.isin(group_M, group_N).any() else 0)
    # Behind the nearest row, all others of its group can be next.
    k = max(1 + widest, min(images * widest, left))
    row_MX, distance_MX = search.nearest_of_others(
        query_MD, group_M, anchors_ND, group_N, k, "euclidean"
    )
    row_MK, distance_MK = duplicates.by_image(
        row_MX, distance_MX.astype(np.float64), group_N, images
    )
    first_M, second_M = duplicates.first_two(
        row_MK, group_N[row_MK], distance_MK, alike_NL, skipped_ML
    )
    every = np.arange(len(query_MD))
    nearest_M, other_M = distance_MK[every, first_M], distance_MK[every, second_M]
    ratio_M = np.divide(nearest_M, other_M, out=np.ones_like(nearest_M), where=other_M > 0)
    return Nearness(row_MK[every, first_M], nearest_M, ratio_M)
