"""Rows in a file are what the same rows in memory are, and leave nothing behind."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.store.rows import Room, blocks


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((11, 2, 3)).astype(np.float32)


def mapped(rows: np.ndarray) -> bool:
    while isinstance(rows, np.ndarray):
        if isinstance(rows, np.memmap):
            return True
        rows = rows.base  # pyright: ignore[reportAssignmentType] - what is beneath
    return False


def test_rows_in_a_file_are_those_that_were_put_there(array: np.ndarray, tmp_path: Path):
    rows = Room(0, tmp_path).empty(array.shape)
    assert type(rows) is np.ndarray
    assert mapped(rows)
    rows[:4], rows[4:] = array[:4], array[4:]
    np.testing.assert_array_equal(rows, array)
    np.testing.assert_array_equal(rows.reshape(11, 6)[[3, 9, 0]], array.reshape(11, 6)[[3, 9, 0]])
    assert list(tmp_path.iterdir()) == [], "the file has no name"


def test_rooms_overflow_into_files(tmp_path: Path):
    room = Room(100, tmp_path)
    shapes = [(2, 10), (2, 10), (1, 5), (0, 7)]
    assert [mapped(room.empty(shape)) for shape in shapes] == [False, True, False, False]
    assert not mapped(Room().empty((2, 10)))


def test_a_disk_without_room_is_an_error_and_no_end(tmp_path: Path):
    with pytest.raises(OSError, match=r"No space left|File too large"):
        Room(0, tmp_path).empty((2**58,))


@pytest.mark.parametrize("index", [[], [4], [3, 4, 5], [0, 2, 3, 10], list(range(11))])
@pytest.mark.parametrize("in_file", [False, True])
def test_rows_are_chosen(array: np.ndarray, tmp_path: Path, index: list[int], in_file: bool):
    some = np.array(index, np.int64)
    chosen = Room(0, tmp_path if in_file else None).choose(array, some)
    np.testing.assert_array_equal(chosen, array[some])
    follow = len(index) > 0 and index[-1] - index[0] == len(index) - 1
    assert np.shares_memory(chosen, array) == follow
    assert mapped(chosen) == (in_file and len(index) == 4)


@given(st.integers(0, 50), st.integers(1, 9), st.integers(1, 40))
def test_blocks_cover_all_rows_once(count: int, each: int, most: int):
    cut = list(blocks(count, each, most))
    assert [row for some in cut for row in range(some.start, some.stop)] == list(range(count))
    assert all(some.stop - some.start <= max(1, most // each) for some in cut)
