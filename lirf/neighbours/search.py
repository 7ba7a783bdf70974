"""Exact nearest neighbours: float32 proposes them, float64 decides.

FAISS computes distances of big batches as |x|^2 + |y|^2 - 2 x.y, which loses the distances of
near rows to cancellation, and near rows are what this project is about. So FAISS proposes a
few rows more than asked for, those that its rounding leaves in question are measured again as
differences in float64, and a row whose proposals are too close to call is searched again with
more of them, in the end with all anchors.

Queries and anchors come in blocks, so that memory is bounded whatever their number; the size of
the blocks changes no result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import faiss
import numpy as np

from lirf.store.rows import ITEM, MEMORY, blocks

Metric = Literal["cosine", "euclidean"]

SPARES = 8
"""Proposals beyond the k asked for."""

WIDEST = 2048
"""Most proposals that FAISS gives on a GPU; a row that needs more is compared with all anchors."""

CACHE_BYTES = 2**20
"""Of rows that are worked on at a time: what a core's cache holds."""

SEARCHED = 2**22
"""Proposals asked for at a time."""


def nearest(
    query_MD: np.ndarray,
    anchors_ND: np.ndarray,
    k: int,
    metric: Metric,
    exclude_self: bool = False,
    memory: int = MEMORY,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest of N anchors for each of M queries, nearest first.

    With `exclude_self` the queries are the anchors themselves, and no row is its own neighbour.
    Anchors at the same value (in float32) come in the order of their index. The search takes at
    most `memory` bytes beside its arguments and its result, and a few MiB.

    Returns:
        indices_MK int64, and values_MK float32: cosine similarities (0 where a norm is 0), or
        Euclidean distances.

    Raises:
        ValueError: fewer than k anchors to choose from, or a row that is not finite.
    """
    if exclude_self:
        assert len(query_MD) == len(anchors_ND), "the queries are the anchors"
        own_N = np.arange(len(anchors_ND))
        return nearest_of_others(query_MD, own_N, anchors_ND, own_N, k, metric, memory)
    none_M, some_N = np.full(len(query_MD), -1), np.zeros(len(anchors_ND), np.int64)
    return nearest_of_others(query_MD, none_M, anchors_ND, some_N, k, metric, memory)


def nearest_of_others(
    query_MD: np.ndarray,
    group_M: np.ndarray,
    anchors_ND: np.ndarray,
    group_N: np.ndarray,
    k: int,
    metric: Metric,
    memory: int = MEMORY,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest anchors of another group than the query's: leave-one-out.

    A group is, for instance, a real image and its mirrored twin. Otherwise as `nearest`.
    """
    assert k >= 1, "at least one neighbour"
    dimension = anchors_ND.shape[1]
    assert query_MD.shape[1] == dimension, "queries and anchors have the same D"
    groups, sizes = np.unique(group_N, return_counts=True)
    excluded = int(sizes[np.isin(groups, group_M)].max(initial=0))
    if k > len(anchors_ND) - excluded:
        raise ValueError(
            f"{k} neighbours are asked for, but only {len(anchors_ND) - excluded} rows can be one;"
            " lower the number of neighbours or use more images"
        )
    scale = _scale(query_MD, anchors_ND, metric)
    indices_MK = np.full((len(query_MD), k), len(anchors_ND), np.int64)
    values_MK = np.full((len(query_MD), k), np.inf, np.float32)
    # Of queries and of anchors a block as it is and a prepared one, and what preparing takes.
    cut = {"bytes_each": ITEM * dimension, "most_bytes": memory // 8}
    for part in blocks(len(anchors_ND), **cut):
        anchors = _block(anchors_ND, group_N, part, scale)
        index = _index(anchors.prepared, metric)
        for some in blocks(len(query_MD), **cut):
            queries = _block(query_MD, group_M, some, scale)
            search = _Search(scale, queries, anchors, index)
            search.improve(indices_MK[some], values_MK[some], k + excluded + SPARES)
    return indices_MK, -values_MK if metric == "cosine" else values_MK


def spacing(latents_ND: np.ndarray, group_N: np.ndarray, memory: int = MEMORY) -> float:
    """Return the median distance of a row to the nearest row of another group."""
    _, distance_N1 = nearest_of_others(
        latents_ND, group_N, latents_ND, group_N, 1, "euclidean", memory
    )
    return float(np.median(distance_N1))


@dataclass(frozen=True)
class _Scale:
    """How rows are prepared for float32, and how far its arithmetic can be trusted with them.

    For distances they are centred, because cancellation grows with the distance from the origin,
    and scaled by a power of two, which rounds nothing; for cosines they get length 1.
    """

    metric: Metric
    factor: np.float32
    centre: np.ndarray  # [D] float32, times `factor`
    rounding: float  # of a float32 dot product, relative to |x| |y|

    def prepare(self, x_BD: np.ndarray) -> np.ndarray:
        """Bring rows to a scale at which float32 neither overflows nor cancels needlessly."""
        prepared_BD = np.empty(x_BD.shape, np.float32)
        for rows in blocks(len(x_BD), 8 * x_BD.shape[1], CACHE_BYTES):
            if self.metric == "cosine":
                prepared_BD[rows] = _unit(x_BD[rows])
            else:
                prepared_BD[rows] = x_BD[rows] * self.factor - self.centre
        return prepared_BD

    def cost(self, score: np.ndarray) -> np.ndarray:
        """Return the cost that has this score; of one below 0, less than that of equal rows."""
        if self.metric == "cosine":
            return score
        return np.copysign(np.sqrt(np.abs(score)), score) / float(self.factor)


def _scale(query_MD: np.ndarray, anchors_ND: np.ndarray, metric: Metric) -> _Scale:
    """Look at all rows once: are they finite, how large are they, where is their middle?"""
    dimension, largest = anchors_ND.shape[1], 0.0
    total_D = np.zeros(dimension)
    for what, x_ND in (("query", query_MD), ("anchor", anchors_ND)):
        for some in blocks(len(x_ND), ITEM * dimension, CACHE_BYTES):
            x_BD = x_ND[some].astype(np.float32, copy=False)
            largest = max(largest, float(x_BD.max(initial=0)), -float(x_BD.min(initial=0)))
            finite_B = np.isfinite(x_BD).all(axis=1)
            if not finite_B.all():
                raise ValueError(f"{what} row {some.start + int(finite_B.argmin())} is not finite")
            if what == "anchor":
                total_D += x_BD.sum(axis=0, dtype=np.float64)
    exponent = int(np.frexp(largest)[1]) + 1 if largest else 0
    factor = np.float32(2.0 ** -min(max(exponent, -120), 120))
    centre_D = (total_D / max(len(anchors_ND), 1) * float(factor)).astype(np.float32)
    # Rounding of a float32 dot product is about sqrt(D) eps |x| |y|; 8 is for safety.
    rounding = 8 * dimension**0.5 * float(np.finfo(np.float32).eps)
    return _Scale(metric, factor, centre_D, rounding)


@dataclass(frozen=True)
class _Block:
    """A block of queries or anchors, as they are and prepared."""

    first: int
    rows: np.ndarray  # [B, D] float32
    groups: np.ndarray  # [B]
    prepared: np.ndarray  # [B, D] float32
    norms: np.ndarray  # [B] float64, of the prepared


def _block(x_ND: np.ndarray, group_N: np.ndarray, some: slice, scale: _Scale) -> _Block:
    rows_BD = np.ascontiguousarray(x_ND[some], np.float32)
    prepared_BD = scale.prepare(rows_BD)
    norms_B = np.sqrt(np.einsum("bd,bd->b", prepared_BD, prepared_BD).astype(np.float64))
    return _Block(some.start, rows_BD, group_N[some], prepared_BD, norms_B)


@dataclass(frozen=True)
class _Search:
    """A block of queries among a block of anchors, whose index is on a GPU where there is one.

    Scores are squared distances of prepared rows, or minus their cosines; costs are what `_cost`
    measures.
    """

    scale: _Scale
    queries: _Block
    anchors: _Block
    index: faiss.Index | None

    def improve(self, found_BK: np.ndarray, cost_BK: np.ndarray, width: int) -> None:
        """Put the nearest anchors of the block among the nearest found so far, in place."""
        pending, count = np.arange(len(found_BK)), len(self.anchors.rows)
        while len(pending):
            width = width if width <= min(WIDEST, count) else count
            undecided = []
            for some in blocks(len(pending), width, SEARCHED):
                rows = pending[some]
                place_BW, measured_BW, bound_B = self.propose(rows, width, cost_BK.shape[1])
                cost_BX = np.concatenate([cost_BK[rows], measured_BW], axis=1)
                index_BX = np.concatenate([found_BK[rows], self.anchors.first + place_BW], axis=1)
                order_BK = np.lexsort((index_BX, cost_BX))[:, : cost_BK.shape[1]]
                best_BK = np.take_along_axis(cost_BX, order_BK, axis=1)
                decided_B = best_BK[:, -1] <= bound_B
                cost_BK[rows[decided_B]] = best_BK[decided_B]
                found_BK[rows[decided_B]] = np.take_along_axis(index_BX, order_BK, 1)[decided_B]
                undecided.append(rows[~decided_B])
            pending = np.concatenate(undecided)
            width *= 8

    def propose(
        self, rows: np.ndarray, width: int, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return W anchors for each query, their costs, and what no other anchor's is below.

        A cost is infinite where it cannot be among the k least.
        """
        count = len(self.anchors.rows)
        if width >= count:
            place_BW = np.broadcast_to(np.arange(count), (len(rows), count))
            asked_BW = self.anchors.groups[place_BW] != self.queries.groups[rows, None]
            return place_BW, self.measure(rows, place_BW, asked_BW), np.full(len(rows), np.inf)
        score_BW, place_BW = self.best(rows, width)
        longest = self.anchors.norms.max()
        margin_B = self.scale.rounding * (self.queries.norms[rows] + longest) ** 2
        allowed_BW = self.anchors.groups[place_BW] != self.queries.groups[rows, None]
        least_B = np.partition(np.where(allowed_BW, score_BW, np.inf), k - 1, axis=1)[:, k - 1]
        asked_BW = allowed_BW & (score_BW <= (least_B + 2 * margin_B)[:, None])
        bound_B = self.scale.cost(score_BW[:, -1] - margin_B)
        return place_BW, self.measure(rows, place_BW, asked_BW), bound_B

    def best(self, rows: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores [B, W], ascending, and places of the `width` best for some queries."""
        whole = len(rows) == len(self.queries.rows)
        query_BD = self.queries.prepared if whole else self.queries.prepared[rows]
        if self.index is not None:
            score_BW, place_BW = self.index.search(query_BD, width)
        else:
            cosine = self.scale.metric == "cosine"
            kind = faiss.METRIC_INNER_PRODUCT if cosine else faiss.METRIC_L2
            score_BW, place_BW = faiss.knn(query_BD, self.anchors.prepared, width, kind)
        return -score_BW if self.scale.metric == "cosine" else score_BW, place_BW

    def measure(self, rows: np.ndarray, place_BW: np.ndarray, asked_BW: np.ndarray) -> np.ndarray:
        """Return the exact costs of the pairs asked for, [B, W] float32, infinity for the rest."""
        cost_BW = np.full(place_BW.shape, np.inf, np.float32)
        row_P, column_P = np.nonzero(asked_BW)
        for some in blocks(len(row_P), 8 * self.anchors.rows.shape[1], CACHE_BYTES):
            pairs = row_P[some], column_P[some]
            query_PD = self.queries.rows[rows[pairs[0]]]
            cost_BW[pairs] = _cost(query_PD, self.anchors.rows[place_BW[pairs]], self.scale.metric)
        return cost_BW


def _index(prepared_AD: np.ndarray, metric: Metric) -> faiss.Index | None:
    """Return a flat index on the GPU, where there is one and FAISS was built for it."""
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return None
    flat = faiss.GpuIndexFlatIP if metric == "cosine" else faiss.GpuIndexFlatL2
    index = flat(faiss.StandardGpuResources(), prepared_AD.shape[1])
    index.add(prepared_AD)
    return index


def _cost(query_PD: np.ndarray, anchor_PD: np.ndarray, metric: Metric) -> np.ndarray:
    """Measure pairs: Euclidean distance, or minus the cosine, [P]. Computed in float64.

    Rounded to float32, so that rows at the same distance tie on every machine.
    """
    if metric == "cosine":
        cosine_P = np.einsum("pd,pd->p", _unit(anchor_PD), _unit(query_PD))
        return -np.clip(cosine_P, -1, 1).astype(np.float32)
    offset_PD = np.subtract(anchor_PD, query_PD, dtype=np.float64)
    return np.sqrt(np.einsum("pd,pd->p", offset_PD, offset_PD)).astype(np.float32)


def _unit(x: np.ndarray) -> np.ndarray:
    """Scale the last axis to length 1 in float64; zero stays zero."""
    x = x.astype(np.float64)
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)
