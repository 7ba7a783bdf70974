"""Rows of numbers, [N, ...] in float32: in memory, or mapped from a file where they take too much.

Both are plain arrays. Pages of a mapped file count as the process's own as long as the system has
nothing better to do with its memory; it takes them back when it has.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

MEMORY = 2**31
"""Bytes that a computation over rows may take where nobody says otherwise: 2 GiB."""

ITEM = np.dtype(np.float32).itemsize

BLOCK_BYTES = 2**24
"""Of rows that are moved at a time."""


def half(gib: float) -> int:
    """Return half of so many GiB in bytes: what arrays may take beside what computes on them."""
    return int(gib * 2**30) // 2


class Room:
    """Memory for the arrays of a computation; what does not fit goes to files in `folder`.

    Without a folder all of them are in memory. The files have no names, and end with the arrays.
    """

    def __init__(self, bytes_: int = 0, folder: Path | None = None) -> None:
        self.left, self.folder = bytes_, folder

    def empty(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return room for float32 rows of `shape`.

        Raises:
            OSError: the disk has no room for them.
        """
        needed = ITEM * int(np.prod(shape))
        if self.folder is None or needed <= self.left:
            self.left -= needed
            return np.empty(shape, np.float32)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            # A mapped page that the disk has no room for would end the process.
            os.posix_fallocate(file.fileno(), 0, needed)
            return np.asarray(np.memmap(file, np.float32, "r+", shape=shape))

    def choose(self, rows: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return the rows at `index`, ascending: where they lie if they follow one another."""
        if not len(index) or index[-1] - index[0] == len(index) - 1:
            first = int(index[0]) if len(index) else 0
            return rows[first : first + len(index)]
        chosen = self.empty((len(index), *rows.shape[1:]))
        for some in blocks(len(index), rows[:1].nbytes, BLOCK_BYTES):
            chosen[some] = rows[index[some]]
        return chosen


def blocks(count: int, bytes_each: int, most_bytes: int) -> Iterator[slice]:
    """Cut `count` rows into slices of at most `most_bytes`, of one row at least."""
    size = max(1, most_bytes // max(bytes_each, 1))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
