"""Farthest-point sampling in blocks: the greedy order, at the price of a matrix product.

Each row in turn is the one with the largest gap, its distance to the bank and to the rows taken
before it. A gap only shrinks. So the rows with the largest gaps, the *front*, can be taken among
themselves for as long as none outside could have a larger one; only then do the gaps of all rows
learn of what was taken. That is a matrix product in float32, and where its rounding leaves open
whether a gap shrinks, or it does, the distance is measured as a difference. The order is that of
taking one row at a time, and so are the distances to the bit.

Takes 2 count P D operations of a matrix product, and reads all rows once a front.
"""

from __future__ import annotations

import numpy as np

from lirf.store.rows import ITEM, blocks

LEAST_FRONT, MOST_FRONT = 256, 4096
FRONTS = 64
"""A front has this share of all rows: the smaller, the less is compared in it, but more often."""

BLOCK_BYTES = 2**23
"""Of rows, or of products with what was taken, at a time."""


def first(rows_PD: np.ndarray, gap_P: np.ndarray, count: int) -> np.ndarray:
    """Return `count` indices int64, each of the largest gap, in the order in which they are taken.

    Of equal gaps the one of the lowest index is taken. `gap_P` is float64, the distances at the
    start; it is changed in place.
    """
    size = min(len(gap_P), max(LEAST_FRONT, min(len(gap_P) // FRONTS, MOST_FRONT)))
    taken = np.empty(count, np.int64)
    place = 0
    while place < count:
        front = _front(gap_P, size)
        outside_P = gap_P.copy()
        outside_P[front] = -np.inf
        rival = int(np.argmax(outside_P))
        front_FD = rows_PD[front]
        picks = _take(front_FD, gap_P[front], front, (outside_P[rival], rival), count - place)
        taken[place : place + len(picks)] = front[picks]
        place += len(picks)
        gap_P[front[picks]] = -np.inf  # a twin of one that was taken is not it
        if place < count:
            _learn(rows_PD, gap_P, front_FD[picks])
    return taken


def _front(gap_P: np.ndarray, size: int) -> np.ndarray:
    """Return the indices, ascending, of the largest gaps, among them the first of the largest."""
    largest = np.argpartition(gap_P, len(gap_P) - size)[len(gap_P) - size :]
    return np.unique(np.append(largest, np.argmax(gap_P)))


def _take(
    front_FD: np.ndarray,
    gap_F: np.ndarray,
    front: np.ndarray,
    rival: tuple[float, int],
    most: int,
) -> np.ndarray:
    """Return places in the front in the order in which they are taken, at least one.

    `rival` is the largest gap outside, before it learns of these, and its index.
    """
    near = _Near(front_FD, front_FD)
    picks = []
    while len(picks) < most:
        best = int(np.argmax(gap_F))
        if picks and (-gap_F[best], front[best]) > (-rival[0], rival[1]):
            break
        picks.append(best)
        closer = np.flatnonzero(near.products[:, best] < near.bounds(gap_F))
        gap_F[closer] = np.minimum(gap_F[closer], _distances(front_FD[closer], front_FD[best]))
        gap_F[best] = -np.inf
        if len(picks) == len(front):
            break
    return np.array(picks)


def _learn(rows_PD: np.ndarray, gap_P: np.ndarray, taken_SD: np.ndarray) -> None:
    """Lower the gaps of all rows to their distances to what was taken, in place."""
    width = max(taken_SD.shape)
    for rows in blocks(len(gap_P), ITEM * width, BLOCK_BYTES):
        block_BD = rows_PD[rows]
        gap_B = gap_P[rows]
        near = _Near(block_BD, taken_SD)
        closer_B, closer_S = np.nonzero(near.products < near.bounds(gap_B)[:, None])
        for pairs in blocks(len(closer_B), ITEM * block_BD.shape[1], BLOCK_BYTES):
            row, other = closer_B[pairs], closer_S[pairs]
            np.minimum.at(gap_B, row, _distances(block_BD[row], taken_SD[other]))


class _Near:
    """Products that are small where rows are near: |s|^2 - 2 x.s about a centre, in float32.

    A pair is at most g apart only if its product is below `bounds(g)`.
    """

    def __init__(self, rows_BD: np.ndarray, others_SD: np.ndarray) -> None:
        # About their middle, and scaled by a power of two: see `lirf.neighbours.search`.
        centre_D = others_SD.mean(axis=0)
        largest = float(max(np.abs(rows_BD).max(initial=0), np.abs(others_SD).max(initial=0)))
        self.factor = 2.0 ** -min(max(int(np.frexp(largest)[1]) + 1, -120), 120)
        factor = np.float32(self.factor)
        x_BD, s_SD = (z * factor - centre_D * factor for z in (rows_BD, others_SD))
        self.square_B = np.einsum("bd,bd->b", x_BD, x_BD, dtype=np.float64)
        square_S = np.einsum("sd,sd->s", s_SD, s_SD, dtype=np.float64)
        reach_B = np.sqrt(self.square_B) + np.sqrt(square_S.max(initial=0))
        # As there, and as much again for the distances that gaps are made of.
        rounding = 16 * x_BD.shape[1] ** 0.5 * float(np.finfo(np.float32).eps)
        self.margin_B = rounding * reach_B**2
        self.products = x_BD @ (-2 * s_SD).T
        self.products += square_S.astype(np.float32)

    def bounds(self, gap_B: np.ndarray) -> np.ndarray:
        """Return what the products of pairs at most `gap_B` apart are below, [B] float32."""
        reach_B = np.maximum(gap_B, 0) * self.factor  # one that was taken has none
        return (reach_B**2 - self.square_B + self.margin_B).astype(np.float32)


def _distances(a_BD: np.ndarray, b_BD: np.ndarray) -> np.ndarray:
    """Return the lengths of differences, in float32."""
    offset_BD = a_BD - b_BD
    return np.sqrt(np.einsum("pd,pd->p", offset_BD, offset_BD))
