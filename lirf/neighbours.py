"""Exact nearest neighbours: FAISS finds them in float32, float64 decides.

FAISS computes distances of big batches as |x|^2 + |y|^2 - 2 x.y, which loses the distances of
near copies to cancellation, and near copies are what this project is about. So FAISS proposes a
few rows more than asked for, those are measured again as differences in float64, and a row whose
proposals are too close to call is searched again with more of them, in the end with all anchors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import faiss
import numpy as np

Metric = Literal["cosine", "euclidean"]

SPARES = 8
"""Proposals beyond the k asked for."""

WIDEST = 2048
"""Most proposals that FAISS gives on a GPU; a row that needs more is compared with all anchors."""

BLOCK_BYTES = 2**26
"""Float64 differences held at a time (or one query against its proposals, when that is more)."""


def nearest(
    query_MD: np.ndarray,
    anchors_ND: np.ndarray,
    k: int,
    metric: Metric,
    exclude_self: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest of N anchors for each of M queries, nearest first.

    With `exclude_self` the queries are the anchors themselves, and no row is its own neighbour.
    Anchors at the same value (in float32) come in the order of their index.

    Returns:
        indices_MK int64, and values_MK float32: cosine similarities (0 where a norm is 0), or
        Euclidean distances.

    Raises:
        ValueError: fewer than k anchors to choose from, or a row that is not finite.
    """
    if exclude_self:
        assert len(query_MD) == len(anchors_ND), "the queries are the anchors"
        own_N = np.arange(len(anchors_ND))
        return nearest_of_others(query_MD, own_N, anchors_ND, own_N, k, metric)
    none_M, some_N = np.full(len(query_MD), -1), np.zeros(len(anchors_ND), np.int64)
    return nearest_of_others(query_MD, none_M, anchors_ND, some_N, k, metric)


def nearest_of_others(
    query_MD: np.ndarray,
    group_M: np.ndarray,
    anchors_ND: np.ndarray,
    group_N: np.ndarray,
    k: int,
    metric: Metric,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest anchors of another group than the query's: leave-one-out.

    A group is, for instance, a real image and its mirrored twin. Otherwise as `nearest`.
    """
    assert k >= 1, "at least one neighbour"
    query_MD, anchors_ND = _checked(query_MD, "query"), _checked(anchors_ND, "anchor")
    assert query_MD.shape[1] == anchors_ND.shape[1], "queries and anchors have the same D"
    groups, sizes = np.unique(group_N, return_counts=True)
    excluded = int(sizes[np.isin(groups, group_M)].max(initial=0))
    if k > len(anchors_ND) - excluded:
        raise ValueError(
            f"{k} neighbours are asked for, but only {len(anchors_ND) - excluded} rows can be one;"
            " lower the number of neighbours or use more images"
        )
    indices_MK = np.empty((len(query_MD), k), np.int64)
    values_MK = np.empty((len(query_MD), k), np.float32)
    proposals = _Proposals(query_MD, anchors_ND, metric)
    pending = np.arange(len(query_MD))
    width = k + excluded + SPARES
    while len(pending):
        width = width if width <= WIDEST else len(anchors_ND)
        undecided = []
        for rows in _blocks(pending, min(width, len(anchors_ND)) * anchors_ND.shape[1]):
            found_BW, bound_B = proposals.search(rows, width)
            cost_BW = _cost(query_MD[rows], anchors_ND, found_BW, metric)
            cost_BW[group_M[rows, None] == group_N[found_BW]] = np.inf
            order_BK = np.lexsort((found_BW, cost_BW))[:, :k]
            indices_MK[rows] = np.take_along_axis(found_BW, order_BK, axis=1)
            costs_BK = np.take_along_axis(cost_BW, order_BK, axis=1)
            values_MK[rows] = -costs_BK if metric == "cosine" else costs_BK
            undecided.append(rows[costs_BK[:, -1] > bound_B])
        pending = np.concatenate(undecided)
        width *= 8
    return indices_MK, values_MK


def spacing(latents_ND: np.ndarray, group_N: np.ndarray) -> float:
    """Return the median distance of a row to the nearest row of another group."""
    _, distance_N1 = nearest_of_others(latents_ND, group_N, latents_ND, group_N, 1, "euclidean")
    return float(np.median(distance_N1))


class _Proposals:
    """A flat FAISS index over prepared rows, and how far its float32 arithmetic can be trusted."""

    def __init__(self, query_MD: np.ndarray, anchors_ND: np.ndarray, metric: Metric) -> None:
        self.metric: Metric = metric
        self.query_MD = query_MD
        self.count, dimension = anchors_ND.shape
        # Centred, because cancellation grows with the distance from the origin.
        self.centre_D = anchors_ND.mean(axis=0, dtype=np.float64)
        largest = max(np.abs(x_ND).max(initial=0) for x_ND in (query_MD, anchors_ND))
        self.scale = 2 * float(largest) or 1.0
        # Rounding of a float32 dot product is about sqrt(D) eps |x| |y|; 8 is for safety.
        self.rounding = 8 * dimension**0.5 * float(np.finfo(np.float32).eps)
        self.farthest = 0.0
        self.index = _index(dimension, metric)
        for rows in _blocks(np.arange(self.count), dimension):
            prepared_BD = self._prepare(anchors_ND[rows])
            self.farthest = max(self.farthest, float(np.linalg.norm(prepared_BD, axis=1).max()))
            self.index.add(prepared_BD)

    def search(self, rows: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the `width` most promising anchors, and the cost that no other is below."""
        if width >= self.count:
            everything = np.broadcast_to(np.arange(self.count), (len(rows), self.count))
            return everything, np.full(len(rows), np.inf)
        query_BD = self._prepare(self.query_MD[rows])
        score_BW, found_BW = self.index.search(query_BD, width)
        reach_B = np.linalg.norm(query_BD, axis=1) + self.farthest
        margin_B = self.rounding * reach_B.astype(np.float64) ** 2
        if self.metric == "cosine":
            return found_BW, -score_BW[:, -1] - margin_B
        return found_BW, np.sqrt(np.maximum(score_BW[:, -1] - margin_B, 0)) * self.scale

    def _prepare(self, x_BD: np.ndarray) -> np.ndarray:
        """Bring rows to a scale at which float32 neither overflows nor cancels needlessly."""
        if self.metric == "cosine":
            return _unit(x_BD).astype(np.float32)
        return ((x_BD - self.centre_D) / self.scale).astype(np.float32)


def _index(dimension: int, metric: Metric) -> faiss.Index:
    """Return an empty flat index, on the GPU where there is one and FAISS was built for it."""
    flat = "IndexFlatIP" if metric == "cosine" else "IndexFlatL2"
    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
        return getattr(faiss, f"Gpu{flat}")(faiss.StandardGpuResources(), dimension)
    return getattr(faiss, flat)(dimension)


def _cost(
    query_BD: np.ndarray, anchors_ND: np.ndarray, found_BW: np.ndarray, metric: Metric
) -> np.ndarray:
    """Measure the proposals: Euclidean distance, or minus the cosine. Computed in float64.

    Rounded to float32, so that rows at the same distance tie on every machine.
    """
    anchors_BWD = anchors_ND[found_BW].astype(np.float64)
    if metric == "cosine":
        cosine_BW = np.einsum("bwd,bd->bw", _unit(anchors_BWD), _unit(query_BD))
        return -np.clip(cosine_BW, -1, 1).astype(np.float32)
    anchors_BWD -= query_BD[:, None]
    return np.linalg.norm(anchors_BWD, axis=-1).astype(np.float32)


def _unit(x: np.ndarray) -> np.ndarray:
    """Scale the last axis to length 1 in float64; zero stays zero."""
    x = x.astype(np.float64)
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)


def _checked(x_ND: np.ndarray, what: str) -> np.ndarray:
    """Return rows as float32, or name the first that is not finite."""
    x_ND = np.ascontiguousarray(x_ND, dtype=np.float32)
    finite_N = np.isfinite(x_ND).all(axis=1)
    if not finite_N.all():
        raise ValueError(f"{what} row {int(np.argmin(finite_N))} is not finite")
    return x_ND


def _blocks(rows: np.ndarray, numbers_per_row: int) -> Iterator[np.ndarray]:
    """Cut `rows` into blocks whose float64 differences fit in BLOCK_BYTES."""
    size = max(1, BLOCK_BYTES // (8 * numbers_per_row))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
