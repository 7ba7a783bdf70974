"""Exact nearest neighbours: FAISS finds them in float32, float64 decides.

FAISS computes distances of big batches as |x|^2 + |y|^2 - 2 x.y, which loses the distances of
near copies to cancellation, and near copies are what this project is about. So FAISS proposes a
few rows more than asked for, those that its rounding leaves in question are measured again as
differences in float64, and a row whose proposals are too close to call is searched again with
more of them, in the end with all anchors.

Queries and anchors come in blocks, so that memory is bounded whatever their number; the size of
the blocks changes no result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import faiss
import numpy as np

from lirf.rows import ITEM, MEMORY, Rows, blocks

Metric = Literal["cosine", "euclidean"]

SPARES = 8
"""Proposals beyond the k asked for."""

WIDEST = 2048
"""Most proposals that FAISS gives on a GPU; a row that needs more is compared with all anchors."""

CACHE_BYTES = 2**21
"""Float64 differences measured at a time: what a core's cache holds."""

SEARCHED = 2**22
"""Proposals asked of FAISS at a time."""


def nearest(
    query_MD: Rows,
    anchors_ND: Rows,
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
    query_MD: Rows,
    group_M: np.ndarray,
    anchors_ND: Rows,
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
    # Of queries and of anchors a block as it is and a prepared one, and what preparing takes.
    cut = {"bytes_each": ITEM * dimension, "most_bytes": memory // 8}
    scale = _scale(query_MD, anchors_ND, metric, **cut)
    anchors = _Anchors(anchors_ND, scale, list(blocks(len(anchors_ND), **cut)))
    indices_MK = np.full((len(query_MD), k), len(anchors_ND), np.int64)
    values_MK = np.full((len(query_MD), k), np.inf, np.float32)
    for rows in blocks(len(query_MD), **cut):
        queries = _Queries(_float32(query_MD[rows]), group_M[rows], scale)
        for part in anchors.parts:
            block = anchors.load(part)
            found_BK, cost_BK = indices_MK[rows], values_MK[rows]
            _improve(found_BK, cost_BK, queries, block, group_N[part], k + excluded + SPARES)
    if metric == "cosine":
        values_MK = -values_MK
    return indices_MK, values_MK


def spacing(latents_ND: Rows, group_N: np.ndarray, memory: int = MEMORY) -> float:
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
        if self.metric == "cosine":
            prepared_BD = np.empty_like(x_BD)
            for rows in blocks(len(x_BD), 8 * x_BD.shape[1], CACHE_BYTES):
                prepared_BD[rows] = _unit(x_BD[rows])
            return prepared_BD
        prepared_BD = x_BD * self.factor
        prepared_BD -= self.centre
        return prepared_BD

    def squared(self, cost: np.ndarray) -> np.ndarray:
        """Return a cost in the unit of FAISS's: a squared distance of prepared rows."""
        if self.metric == "cosine":
            return cost.astype(np.float64)
        return (cost.astype(np.float64) * float(self.factor)) ** 2

    def cost(self, squared: np.ndarray) -> np.ndarray:
        """Return the cost that `squared` gives this of."""
        if self.metric == "cosine":
            return squared
        return np.sqrt(np.maximum(squared, 0)) / float(self.factor)


def _scale(
    query_MD: Rows, anchors_ND: Rows, metric: Metric, bytes_each: int, most_bytes: int
) -> _Scale:
    """Look at all rows once: are they finite, how large are they, where is their middle?"""
    dimension, largest = anchors_ND.shape[1], 0.0
    total_D = np.zeros(dimension)
    for x_ND, what in ((query_MD, "query"), (anchors_ND, "anchor")):
        for rows in blocks(len(x_ND), bytes_each, most_bytes):
            x_BD = _float32(x_ND[rows])
            low, high = float(x_BD.min(initial=0)), float(x_BD.max(initial=0))
            if not np.isfinite(high - low):
                finite_B = np.isfinite(x_BD).all(axis=1)
                if not finite_B.all():
                    row = rows.start + int(np.argmin(finite_B))
                    raise ValueError(f"{what} row {row} is not finite")
            largest = max(largest, high, -low)
            if x_ND is anchors_ND and metric == "euclidean":
                total_D += x_BD.sum(axis=0, dtype=np.float64)
    exponent = int(np.frexp(largest)[1]) + 1 if largest else 0
    factor = np.float32(2.0 ** -min(max(exponent, -120), 120))
    centre_D = (total_D / max(len(anchors_ND), 1) * float(factor)).astype(np.float32)
    # Rounding of a float32 dot product is about sqrt(D) eps |x| |y|; 8 is for safety.
    rounding = 8 * dimension**0.5 * float(np.finfo(np.float32).eps)
    return _Scale(metric, factor, centre_D, rounding)


class _Queries:
    """A block of queries, as they are and prepared."""

    def __init__(self, rows_BD: np.ndarray, group_B: np.ndarray, scale: _Scale) -> None:
        self.rows, self.groups, self.scale = rows_BD, group_B, scale
        self.prepared = scale.prepare(rows_BD)
        self.norms = _norms(self.prepared)


@dataclass(frozen=True)
class _Block:
    """A block of anchors, and the flat FAISS index that holds them prepared."""

    first: int
    rows: np.ndarray  # [A, D] float32
    index: faiss.Index
    farthest: float


@dataclass
class _Anchors:
    """All anchors, of which a block at a time is in memory."""

    rows: Rows  # [N, D]
    scale: _Scale
    parts: list[slice]
    loaded: dict[int, _Block] = field(default_factory=dict)

    def load(self, part: slice) -> _Block:
        """Return the block of `part`, which takes the place of the one before."""
        if part.start not in self.loaded:
            self.loaded.clear()
            rows_AD = _float32(self.rows[part])
            index, farthest = _index(rows_AD.shape[1], self.scale.metric), 0.0
            for rows in blocks(len(rows_AD), ITEM * rows_AD.shape[1], 16 * CACHE_BYTES):
                prepared_BD = self.scale.prepare(rows_AD[rows])
                farthest = max(farthest, float(_norms(prepared_BD).max()))
                index.add(prepared_BD)
            self.loaded[part.start] = _Block(part.start, rows_AD, index, farthest)
        return self.loaded[part.start]


def _improve(
    found_BK: np.ndarray,
    cost_BK: np.ndarray,
    queries: _Queries,
    block: _Block,
    group_A: np.ndarray,
    width: int,
) -> None:
    """Put the nearest rows of one block of anchors among the nearest found so far, in place."""
    pending = np.arange(len(found_BK))
    while len(pending):
        count = len(block.rows)
        width = width if width <= min(WIDEST, count) else count
        undecided = []
        for some in blocks(len(pending), width, SEARCHED):
            rows = pending[some]
            known_BK = cost_BK[rows]
            place_BW, measured_BW, bound_B = _propose(
                queries, rows, block, group_A, width, known_BK
            )
            everything_BX = np.concatenate([known_BK, measured_BW], axis=1)
            indices_BX = np.concatenate([found_BK[rows], block.first + place_BW], axis=1)
            order_BK = np.lexsort((indices_BX, everything_BX))[:, : known_BK.shape[1]]
            best_BK = np.take_along_axis(everything_BX, order_BK, axis=1)
            decided_B = best_BK[:, -1] <= bound_B
            cost_BK[rows[decided_B]] = best_BK[decided_B]
            found_BK[rows[decided_B]] = np.take_along_axis(indices_BX, order_BK, 1)[decided_B]
            undecided.append(rows[~decided_B])
        pending = np.concatenate(undecided)
        width *= 8


def _propose(
    queries: _Queries,
    rows: np.ndarray,
    block: _Block,
    group_A: np.ndarray,
    width: int,
    known_BK: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return W anchors of a block for each query, their costs, and what no other one's is below.

    A cost is infinite where it cannot be among the K least, of this block and of `known_BK`, those
    of the blocks before.
    """
    scale, count, k = queries.scale, len(block.rows), known_BK.shape[1]
    if width >= count:
        place_BW = np.broadcast_to(np.arange(count), (len(rows), count))
        asked_BW = group_A[place_BW] != queries.groups[rows, None]
        return (
            place_BW,
            _measure(queries, rows, block, place_BW, asked_BW),
            np.full(len(rows), np.inf),
        )
    score_BW, place_BW = block.index.search(queries.prepared[rows], width)
    score_BW = -score_BW if scale.metric == "cosine" else score_BW
    margin_B = scale.rounding * (queries.norms[rows] + block.farthest) ** 2
    allowed_BW = group_A[place_BW] != queries.groups[rows, None]
    least_B = np.partition(np.where(allowed_BW, score_BW, np.inf), k - 1, axis=1)[:, k - 1]
    limit_B = np.minimum(least_B + 2 * margin_B, scale.squared(known_BK[:, -1]) + margin_B)
    asked_BW = allowed_BW & (score_BW <= limit_B[:, None])
    bound_B = scale.cost(score_BW[:, -1] - margin_B)
    return place_BW, _measure(queries, rows, block, place_BW, asked_BW), bound_B


def _measure(
    queries: _Queries, rows: np.ndarray, block: _Block, place_BW: np.ndarray, asked_BW: np.ndarray
) -> np.ndarray:
    """Return the exact costs of the pairs asked for, [B, W] float32, and infinity for the rest."""
    cost_BW = np.full(place_BW.shape, np.inf, np.float32)
    bytes_each = 8 * block.rows.shape[1]
    last_B = (asked_BW * np.arange(1, place_BW.shape[1] + 1)).max(axis=1)
    for width in np.unique(last_B[last_B > 0]).tolist():
        same = np.flatnonzero(last_B == width)
        for some in blocks(len(same), width * bytes_each, CACHE_BYTES):
            for columns in blocks(width, bytes_each, CACHE_BYTES):
                pairs = np.ix_(same[some], np.arange(columns.start, columns.stop))
                anchors_BWD = block.rows[place_BW[pairs]]
                query_BD = queries.rows[rows[same[some]]]
                cost_BW[pairs] = _cost(query_BD, anchors_BWD, queries.scale.metric)
    cost_BW[~asked_BW] = np.inf
    return cost_BW


def _index(dimension: int, metric: Metric) -> faiss.Index:
    """Return an empty flat index, on the GPU where there is one and FAISS was built for it."""
    flat = "IndexFlatIP" if metric == "cosine" else "IndexFlatL2"
    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
        return getattr(faiss, f"Gpu{flat}")(faiss.StandardGpuResources(), dimension)
    return getattr(faiss, flat)(dimension)


def _cost(query_BD: np.ndarray, anchors_BWD: np.ndarray, metric: Metric) -> np.ndarray:
    """Measure pairs: Euclidean distance, or minus the cosine, [B, W]. Computed in float64.

    Rounded to float32, so that rows at the same distance tie on every machine.
    """
    anchors_BWD = anchors_BWD.astype(np.float64)
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


def _norms(x_BD: np.ndarray) -> np.ndarray:
    """Return the lengths of rows, float64 [B]."""
    return np.sqrt(np.einsum("bd,bd->b", x_BD, x_BD).astype(np.float64))


def _float32(x_BD: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x_BD, dtype=np.float32)
