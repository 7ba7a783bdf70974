"""Rows in a file are what the same rows in memory are, and leave nothing behind."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.rows import Chosen, FileRows, Room, blocks, choose, shaped


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((11, 2, 3)).astype(np.float32)


@pytest.fixture
def stored(array: np.ndarray, tmp_path: Path) -> FileRows:
    rows = FileRows(array.shape, tmp_path)
    rows[0:4], rows[4:11] = array[:4], array[4:]
    return rows


@pytest.mark.parametrize("key", [slice(0, 11), slice(3, 7), slice(5, 5), slice(9, 40)])
def test_slices(array: np.ndarray, stored: FileRows, key: slice):
    np.testing.assert_array_equal(stored[key], array[key])
    np.testing.assert_array_equal(stored.flat()[key], array.reshape(11, 6)[key])


@pytest.mark.parametrize("index", [[], [4], [3, 4, 5, 9, 0, 0], [10, 9, 8]])
def test_rows_at_indices(array: np.ndarray, stored: FileRows, index: list[int]):
    some = np.array(index, np.int64)
    np.testing.assert_array_equal(stored[some], array[some])
    np.testing.assert_array_equal(choose(stored, some)[:], array[some])
    np.testing.assert_array_equal(choose(array, some)[1:3], array[some][1:3])


def test_the_file_has_no_name(stored: FileRows, tmp_path: Path):
    assert len(stored) == 11
    assert list(tmp_path.iterdir()) == []


def test_all_rows_are_chosen_without_a_copy(array: np.ndarray):
    assert choose(array, np.arange(11)) is array
    assert isinstance(choose(array, np.arange(10)), Chosen)


def test_another_shape(array: np.ndarray, stored: FileRows):
    for rows in (array, stored):
        assert shaped(rows, (3, 1, 2)).shape == (11, 3, 1, 2)
        np.testing.assert_array_equal(shaped(rows, (6,))[2:5], array.reshape(11, 6)[2:5])


def test_rooms_overflow_into_files(tmp_path: Path):
    room = Room(100, tmp_path)
    assert isinstance(room.empty((2, 10)), np.ndarray)
    assert isinstance(room.empty((2, 10)), FileRows)
    assert isinstance(room.empty((1, 5)), np.ndarray)
    assert isinstance(Room().empty((2, 10)), np.ndarray)


@given(st.integers(0, 50), st.integers(1, 9), st.integers(1, 40))
def test_blocks_cover_all_rows_once(count: int, each: int, most: int):
    cut = list(blocks(count, each, most))
    assert [row for some in cut for row in range(some.start, some.stop)] == list(range(count))
    assert all(some.stop - some.start <= max(1, most // each) for some in cut)
