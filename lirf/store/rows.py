"""Rows of numbers, [N, ...] in float32: in memory, or in a file where they would take too much.

What reads them takes a slice or some rows at a time, and does not know which of the two they are.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

MEMORY = 2**31
"""Bytes that a computation over rows may take where nobody says otherwise: 2 GiB."""

ITEM = np.dtype(np.float32).itemsize


class Rows(Protocol):
    """What arrays, rows in a file, and a choice among either have in common.

    The latter two also `fill` an array that is there.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice | np.ndarray, /) -> np.ndarray: ...


class _Unnamed:
    """An open file that has no name any more, closed when nobody holds it."""

    def __init__(self, folder: Path) -> None:
        self.number, name = tempfile.mkstemp(dir=folder)
        Path(name).unlink()
        weakref.finalize(self, os.close, self.number)


class FileRows:
    """Rows in an unnamed file, read and written by the system's page cache, gone with the process.

    Read and not mapped: pages of a mapped file count as the process's own memory.
    """

    def __init__(self, shape: tuple[int, ...], folder: Path) -> None:
        """Make room for `shape` = (N, ...) in `folder`, whose disk must have it."""
        self.shape = shape
        self.bytes = ITEM * int(np.prod(shape[1:]))
        self.file = _Unnamed(folder)
        os.truncate(self.file.number, self.bytes * len(self))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | np.ndarray, /) -> np.ndarray:
        """Return the rows of a slice (of step 1), or those of an array of indices, in its order."""
        count = len(range(len(self))[key]) if isinstance(key, slice) else len(key)
        found = np.empty((count, *self.shape[1:]), np.float32)
        self.fill(found, key)
        return found

    def fill(self, into: np.ndarray, key: slice | np.ndarray) -> None:
        """Put the rows of a slice (of step 1), or those of indices, into a contiguous array."""
        if isinstance(key, slice):
            start, _, step = key.indices(len(self))
            assert step == 1, "rows follow one another"
            self._read(into, start)
            return
        ends = np.flatnonzero(np.diff(key) != 1) + 1  # neighbouring rows are read at once
        bounds = [0, *ends.tolist(), len(key)]
        for first, last in pairwise(bounds):
            if last > first:
                self._read(into[first:last], int(key[first]))

    def __setitem__(self, key: slice, value: np.ndarray, /) -> None:
        start, stop, step = key.indices(len(self))
        assert step == 1, "rows follow one another"
        assert value.shape == (max(stop - start, 0), *self.shape[1:]), "as many as there is room"
        left = _bytes(np.ascontiguousarray(value, np.float32))
        place = start * self.bytes
        while left:
            written = os.pwrite(self.file.number, left, place)
            left, place = left[written:], place + written

    def flat(self) -> FileRows:
        """Return the same rows as [N, D]."""
        view = object.__new__(FileRows)
        view.shape = (len(self), self.bytes // ITEM)
        view.file, view.bytes = self.file, self.bytes
        return view

    def _read(self, into: np.ndarray, first: int) -> None:
        """Fill the contiguous `into` with the rows from `first` on."""
        left, place = _bytes(into), 0
        while place < len(left):
            count = os.preadv(self.file.number, [left[place:]], first * self.bytes + place)
            assert count, "the file has all of its rows"
            place += count


def _bytes(array: np.ndarray) -> memoryview:
    """Return the memory of a contiguous array, to be written to or read."""
    return array.data.cast("B") if array.size else memoryview(b"")


class Chosen:
    """Some rows of others, in the order of their indices, each in a shape of its own."""

    def __init__(self, rows: Rows, index: np.ndarray, shape: tuple[int, ...]) -> None:
        self.rows, self.index = rows, index
        self.shape = (len(index), *shape)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: slice | np.ndarray, /) -> np.ndarray:
        index = self.index[key]
        return self.rows[index].reshape(len(index), *self.shape[1:])

    def fill(self, into: np.ndarray, key: slice | np.ndarray) -> None:
        """Put rows into a contiguous array."""
        index = self.index[key]
        beneath = into.reshape(len(index), *self.rows.shape[1:])
        if isinstance(self.rows, FileRows | Chosen):
            self.rows.fill(beneath, index)
        else:
            assert isinstance(self.rows, np.ndarray), "there is no other kind"
            np.take(self.rows, index, axis=0, out=beneath, mode="clip")  # "raise" copies


def choose(rows: Rows, index: np.ndarray) -> Rows:
    """Return the rows at `index`, without a copy: of all rows, those themselves."""
    if len(index) == len(rows) and bool((index == np.arange(len(rows))).all()):
        return rows
    return Chosen(rows, index, rows.shape[1:])


def shaped(rows: Rows, shape: tuple[int, ...]) -> Rows:
    """Return the same rows, each in `shape`, without a copy."""
    if isinstance(rows, np.ndarray):
        return rows.reshape(len(rows), *shape)
    return Chosen(rows, np.arange(len(rows)), shape)


def half(gib: float) -> int:
    """Return half of so many GiB in bytes: what arrays may take beside what computes on them."""
    return int(gib * 2**30) // 2


class Room:
    """Memory for the arrays of a computation; what does not fit goes to files in `folder`.

    Without a folder all of them are in memory.
    """

    def __init__(self, bytes_: int = 0, folder: Path | None = None) -> None:
        self.left, self.folder = bytes_, folder

    def empty(self, shape: tuple[int, ...]) -> np.ndarray | FileRows:
        """Return room for float32 rows of `shape`, to be filled by slices."""
        needed = ITEM * int(np.prod(shape))
        if self.folder is None or needed <= self.left:
            self.left -= needed
            return np.empty(shape, np.float32)
        return FileRows(shape, self.folder)


class Spare:
    """Memory that blocks of rows are put into one after the other.

    The system takes longer to give fresh pages than what is written to them takes.
    """

    def __init__(self) -> None:
        self.numbers = np.empty(0, np.float32)

    def empty(self, count: int, dimension: int) -> np.ndarray:
        """Return room for [count, dimension]; it takes the place of what was returned before."""
        if len(self.numbers) < count * dimension:
            self.numbers = np.empty(0, np.float32)  # never both
            self.numbers = np.empty(count * dimension, np.float32)
        return self.numbers[: count * dimension].reshape(count, dimension)

    def load(self, rows_ND: Rows, some: slice) -> np.ndarray:
        """Return contiguous float32 rows: those of an array where they lie, others in here."""
        if isinstance(rows_ND, FileRows | Chosen):
            block_BD = self.empty(some.stop - some.start, rows_ND.shape[1])
            rows_ND.fill(block_BD, some)
            return block_BD
        return np.ascontiguousarray(rows_ND[some], np.float32)


def blocks(count: int, bytes_each: int, most_bytes: int) -> Iterator[slice]:
    """Cut `count` rows into slices of at most `most_bytes`, of one row at least."""
    size = max(1, most_bytes // max(bytes_each, 1))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
