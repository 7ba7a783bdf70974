"""Exact nearest neighbours: float32 proposes them, float64 decides.

FAISS computes distances of big batches as |x|^2 + |y|^2 - 2 x.y, which loses the distances of
near copies to cancellation, and near copies are what this project is about. So FAISS proposes a
few rows more than asked for, those that its rounding leaves in question are measured again as
differences in float64, and a row whose proposals are too close to call is searched again with
more of them, in the end with all anchors.

Queries and anchors come in blocks, so that memory is bounded whatever their number; the size of
the blocks changes no result. What is in memory is searched where it lies wherever float32 has the
digits for it.

Rows among themselves, where the queries are the anchors, the same object, take half of the
products: NumPy's of two parts of the rows serve both. That is where a copy of the rows fits in a
quarter of the memory, they are WIDE and there is no GPU; FAISS searches all others, and again for
rows whose proposals are too close to call.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Literal

import faiss
import numpy as np

from lirf.store.rows import ITEM, MEMORY, Rows, Spare, blocks

Metric = Literal["cosine", "euclidean"]

SPARES = 8
"""Proposals beyond the k asked for."""

WIDEST = 2048
"""Most proposals that FAISS gives on a GPU; a row that needs more is compared with all anchors."""

CACHE_BYTES = 2**20
"""Of rows that are worked on at a time: what a core's cache holds."""

ROOMY = 2.0**40
"""Between this and its inverse float32 squares neither overflow nor lose small ones."""

SEARCHED = 2**22
"""Proposals asked for at a time."""

WIDE = 512
"""From this D on half of the products by NumPy take less time than all by FAISS, as measured."""

FEW = 128
"""Most proposals that NumPy is asked for: it has no heaps."""

SIDE = 1024
"""Rows on either side of NumPy's products: enough for full speed, few enough for a cache."""


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
    shared = query_MD is anchors_ND and ITEM * dimension * len(anchors_ND) <= memory // 4
    cut = {"bytes_each": ITEM * dimension, "most_bytes": memory // (4 if shared else 8)}
    scale = _scale(query_MD, anchors_ND, metric, **cut)
    anchors = _Anchors(anchors_ND, scale, list(blocks(len(anchors_ND), **cut)))
    indices_MK = np.full((len(query_MD), k), len(anchors_ND), np.int64)
    values_MK = np.full((len(query_MD), k), np.inf, np.float32)
    queries = _Queries(scale)
    for rows in blocks(len(query_MD), **cut):
        if shared:
            queries.take(anchors.load(rows), group_M)
        else:
            queries.load(query_MD, rows, group_M)
        for part in anchors.there_and_back():
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
    and scaled by a power of two, which rounds nothing, or neither where they lie about the origin
    at a size that float32 has room for; for cosines they get length 1.
    """

    metric: Metric
    factor: np.float32
    centre: np.ndarray | None  # [D] float32, times `factor`; None: as they are
    rounding: float  # of a float32 dot product, relative to |x| |y|

    def prepare(self, x_BD: np.ndarray, spare: Spare) -> np.ndarray:
        """Bring rows to a scale at which float32 neither overflows nor cancels needlessly."""
        if self.metric == "euclidean" and self.centre is None:
            return x_BD
        prepared_BD = spare.empty(*x_BD.shape)
        for rows in blocks(len(x_BD), 8 * x_BD.shape[1], CACHE_BYTES):
            if self.centre is None:
                prepared_BD[rows] = _unit(x_BD[rows])
            else:
                np.multiply(x_BD[rows], self.factor, out=prepared_BD[rows])
                prepared_BD[rows] -= self.centre
        return prepared_BD

    def squared(self, cost: np.ndarray) -> np.ndarray:
        """Return a cost in the unit of FAISS's: a squared distance of prepared rows."""
        if self.metric == "cosine":
            return cost.astype(np.float64)
        return (cost.astype(np.float64) * float(self.factor)) ** 2

    def cost(self, squared: np.ndarray) -> np.ndarray:
        """Return the cost that `squared` gives this of; below 0, less than what copies cost."""
        if self.metric == "cosine":
            return squared
        return np.copysign(np.sqrt(np.abs(squared)), squared) / float(self.factor)


def _scale(
    query_MD: Rows, anchors_ND: Rows, metric: Metric, bytes_each: int, most_bytes: int
) -> _Scale:
    """Look at all rows once: are they finite, how large are they, where is their middle?"""
    dimension, largest, square = anchors_ND.shape[1], 0.0, 0.0
    total_D, spare = np.zeros(dimension), Spare()
    sides = {"query": query_MD, "anchor": anchors_ND}
    if query_MD is anchors_ND:
        del sides["anchor"]
    for what, x_ND in sides.items():
        for part in blocks(len(x_ND), bytes_each, most_bytes):
            x_AD = spare.load(x_ND, part)
            for rows in blocks(len(x_AD), bytes_each, CACHE_BYTES):
                x_BD = x_AD[rows]
                low, high = float(x_BD.min(initial=0)), float(x_BD.max(initial=0))
                _require_finite(x_BD, high - low, what, part.start + rows.start)
                largest = max(largest, high, -low)
                if x_ND is anchors_ND and metric == "euclidean":
                    total_D += x_BD.sum(axis=0, dtype=np.float64)
                    square += float(np.vdot(x_BD, x_BD)) if largest < ROOMY else 0
    # Rounding of a float32 dot product is about sqrt(D) eps |x| |y|; 8 is for safety.
    rounding = 8 * dimension**0.5 * float(np.finfo(np.float32).eps)
    centre_D = total_D / max(len(anchors_ND), 1)
    about_origin = 4 * len(anchors_ND) * float(centre_D @ centre_D) <= square
    if metric == "cosine" or (about_origin and 1 / ROOMY < largest < ROOMY):
        return _Scale(metric, np.float32(1), None, rounding)
    exponent = int(np.frexp(largest)[1]) + 1 if largest else 0
    factor = np.float32(2.0 ** -min(max(exponent, -120), 120))
    return _Scale(metric, factor, (centre_D * float(factor)).astype(np.float32), rounding)


def _require_finite(x_BD: np.ndarray, extent: float, what: str, first: int) -> None:
    """Raise ValueError, naming the first row that is not finite; of all, these span `extent`."""
    if not np.isfinite(extent):  # or the difference of two large numbers
        finite_B = np.isfinite(x_BD).all(axis=1)
        if not finite_B.all():
            raise ValueError(f"{what} row {first + int(np.argmin(finite_B))} is not finite")


class _Queries:
    """A block of queries at a time, as they are and prepared."""

    def __init__(self, scale: _Scale) -> None:
        self.scale, self.spares = scale, (Spare(), Spare())

    def load(self, rows_MD: Rows, block: slice, group_M: np.ndarray) -> None:
        """Take the rows of `block`, in the place of those before."""
        self.rows, self.groups = self.spares[0].load(rows_MD, block), group_M[block]
        self.prepared = self.scale.prepare(self.rows, self.spares[1])
        self.norms = _norms(self.prepared)

    def take(self, block: _Block, group_A: np.ndarray) -> None:
        """Take the anchors of a block, where they lie."""
        self.rows, self.groups = block.rows, group_A
        self.prepared, self.norms = block.prepared, block.norms


@dataclass(frozen=True)
class _Block:
    """A block of anchors, as they are and prepared; on a GPU the latter are in an index."""

    first: int
    rows: np.ndarray  # [A, D] float32
    prepared: np.ndarray
    norms: np.ndarray  # [A] float64, of the prepared
    longest: float  # of them
    index: faiss.Index | None

    def search(
        self, queries: _Queries, rows: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scores [B, W], ascending, and places of the `width` best for some queries.

        Scores are squared distances of prepared rows, or minus their cosines.
        """
        query_BD, metric = _rows(queries.prepared, rows), queries.scale.metric
        if self.index is not None:
            score_BW, place_BW = self.index.search(query_BD, width)
        elif query_BD is self.prepared and query_BD.shape[1] >= WIDE and width <= FEW:
            return _among_themselves(query_BD, width, metric)
        else:
            kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
            score_BW, place_BW = faiss.knn(query_BD, self.prepared, width, kind)
        return -score_BW if metric == "cosine" else score_BW, place_BW


class _Least:
    """The least scores that each of N rows has been given so far."""

    def __init__(self, count: int, width: int) -> None:
        self.width = width
        self.score_NW = np.full((count, width), np.inf, np.float32)
        self.place_NW = np.zeros((count, width), np.int64)

    def add(self, rows: slice, score_BC: np.ndarray, first: int) -> None:
        """Give some rows their scores at the places from `first` on."""
        width, (count, columns) = self.width, score_BC.shape
        limit_B = self.score_NW[rows].max(axis=1)
        if each := columns // (4 * width):  # minima of parts are scores: the least go no higher
            parts_BEG = score_BC[:, : each * 4 * width].reshape(count, each, 4 * width)
            low_BG = np.partition(parts_BEG.min(axis=1), width - 1, axis=1)
            limit_B = np.minimum(limit_B, low_BG[:, width - 1])
        # Few pass. They go into a table beside what there is.
        row_P, column_P = np.divmod(np.flatnonzero(score_BC <= limit_B[:, None]), columns)
        passed_B = np.bincount(row_P, minlength=count)
        beside_P = width + np.arange(len(row_P)) - (np.cumsum(passed_B) - passed_B)[row_P]
        score_BX = np.full((count, width + passed_B.max()), np.inf, np.float32)
        place_BX = np.zeros(score_BX.shape, np.int64)
        score_BX[:, :width], place_BX[:, :width] = self.score_NW[rows], self.place_NW[rows]
        score_BX[row_P, beside_P] = score_BC[row_P, column_P]
        place_BX[row_P, beside_P] = first + column_P
        order_BW = np.argpartition(score_BX, width - 1, axis=1)[:, :width]
        self.score_NW[rows] = np.take_along_axis(score_BX, order_BW, axis=1)
        self.place_NW[rows] = np.take_along_axis(place_BX, order_BW, axis=1)

    def ascending(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores and their places, [N, W]."""
        order_NW = np.argsort(self.score_NW, axis=1)
        score_NW = np.take_along_axis(self.score_NW, order_NW, axis=1)
        return score_NW, np.take_along_axis(self.place_NW, order_NW, axis=1)


def _among_themselves(
    x_ND: np.ndarray, width: int, metric: Metric
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `_Block.search` does for rows among themselves, from half of the products."""
    least, spare = _Least(len(x_ND), width), Spare()
    # Of distances half the square, |x|^2/2 + |y|^2/2 - x.y.
    half_N = np.float32(0 if metric == "cosine" else 0.5) * np.einsum("nd,nd->n", x_ND, x_ND)
    for rows, others in combinations_with_replacement(blocks(len(x_ND), 1, SIDE), 2):
        score_BC = spare.empty(rows.stop - rows.start, others.stop - others.start)
        np.matmul(x_ND[rows], x_ND[others].T, out=score_BC)
        np.subtract(half_N[rows, None], score_BC, out=score_BC)
        score_BC += half_N[others]
        least.add(rows, score_BC, others.start)
        if others != rows:
            least.add(others, score_BC.T, rows.start)
    score_NW, place_NW = least.ascending()
    return score_NW if metric == "cosine" else 2 * score_NW, place_NW


class _Anchors:
    """All anchors, of which a block at a time is in memory."""

    def __init__(self, rows_ND: Rows, scale: _Scale, parts: list[slice]) -> None:
        self.rows, self.scale, self.parts = rows_ND, scale, parts
        self.spares = Spare(), Spare()
        self.block: _Block | None = None

    def there_and_back(self) -> list[slice]:
        """Return the parts, from the other end every time: the last block is there already."""
        self.parts.reverse()
        return self.parts

    def load(self, part: slice) -> _Block:
        """Return the block of `part`, which takes the place of the one before."""
        if self.block is None or self.block.first != part.start:
            self.block = None
            rows_AD = self.spares[0].load(self.rows, part)
            prepared_AD = self.scale.prepare(rows_AD, self.spares[1])
            norms_A, index = _norms(prepared_AD), _index(prepared_AD, self.scale.metric)
            longest = float(norms_A.max())
            self.block = _Block(part.start, rows_AD, prepared_AD, norms_A, longest, index)
        return self.block


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
    score_BW, place_BW = block.search(queries, rows, width)
    margin_B = scale.rounding * (queries.norms[rows] + block.longest) ** 2
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
    row_P, column_P = np.nonzero(asked_BW)
    for some in blocks(len(row_P), 8 * block.rows.shape[1], CACHE_BYTES):
        pairs = row_P[some], column_P[some]
        query_PD, anchor_PD = queries.rows[rows[pairs[0]]], block.rows[place_BW[pairs]]
        cost_BW[pairs] = _cost(query_PD, anchor_PD, queries.scale.metric)
    return cost_BW


def _rows(x_BD: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return rows, without a copy where they follow one another: of all rows, those themselves."""
    if len(rows) == len(x_BD):
        return x_BD
    if rows[-1] - rows[0] == len(rows) - 1:
        return x_BD[rows[0] : rows[-1] + 1]
    return x_BD[rows]


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


def _norms(x_BD: np.ndarray) -> np.ndarray:
    """Return the lengths of rows, float64 [B]."""
    return np.sqrt(np.einsum("bd,bd->b", x_BD, x_BD).astype(np.float64))
