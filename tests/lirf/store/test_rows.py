"""Rows in a file are what the same rows in memory are, and leave nothing behind."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.store.rows import Chosen, FileRows, Room, Spare, blocks, choose, shaped


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


@pytest.mark.parametrize(
    "key", [slice(0, 11), slice(3, 7), slice(5, 5), [], [4], [3, 4, 5, 9, 0, 0], [10, 9, 8]]
)
def test_rows_are_put_where_there_is_room(
    array: np.ndarray, stored: FileRows, key: slice | list[int]
):
    index = np.array([8, 1, 1, 10, 3, 2, 7, 0, 9, 4, 6])
    some = key if isinstance(key, slice) else np.array(key, np.int64)
    chosen = Chosen(stored, index, (2, 3)), Chosen(array, index, (2, 3))
    twice = Chosen(chosen[0], index, (6,))
    for rows, expected in [
        (stored, array),
        (stored.flat(), array.reshape(11, 6)),
        *((rows, array[index]) for rows in chosen),
        (twice, array[index[index]].reshape(11, 6)),
    ]:
        into = np.full_like(expected[some], np.nan)
        rows.fill(into, some)
        np.testing.assert_array_equal(into, expected[some])


def test_spare_memory_is_used_again():
    spare = Spare()
    large = spare.empty(5, 4)
    assert (large.shape, large.dtype) == ((5, 4), np.float32)
    assert large.flags.c_contiguous
    small = spare.empty(3, 2)
    assert small.shape == (3, 2)
    assert np.shares_memory(small, large)
    assert spare.empty(0, 7).shape == (0, 7)
    assert not np.shares_memory(spare.empty(7, 3), large)


def test_spare_memory_takes_rows_that_are_not_in_memory(array: np.ndarray, stored: FileRows):
    flat, spare = array.reshape(11, 6), Spare()
    for rows in (stored.flat(), choose(flat, np.arange(10)), shaped(stored, (6,))):
        block = spare.load(rows, slice(2, 9))
        np.testing.assert_array_equal(block, flat[2:9])
        assert np.shares_memory(block, spare.numbers)


def test_rows_in_memory_stay_where_they_are(array: np.ndarray):
    flat, spare = array.reshape(11, 6), Spare()
    assert np.shares_memory(spare.load(flat, slice(2, 9)), flat)
    strided = spare.load(flat[:, ::2], slice(2, 9))
    np.testing.assert_array_equal(strided, flat[2:9, ::2])
    assert strided.flags.c_contiguous
    assert spare.load(flat.astype(np.float64), slice(0, 3)).dtype == np.float32
    assert len(spare.numbers) == 0


@given(st.integers(0, 50), st.integers(1, 9), st.integers(1, 40))
def test_blocks_cover_all_rows_once(count: int, each: int, most: int):
    cut = list(blocks(count, each, most))
    assert [row for some in cut for row in range(some.start, some.stop)] == list(range(count))
    assert all(some.stop - some.start <= max(1, most // each) for some in cut)
