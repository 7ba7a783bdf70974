"""Parts: sharded Zarr arrays, each beside a Parquet table with a row an item.

A *part* is a folder with one array, its table and a manifest (`part.json`) that holds the format
version, the attributes and a checksum of every file, so that a missing, truncated or altered
file is named before it is used.

What a file says of itself is not believed: an array has the layout that is written here and as many
rows as its table, and no codec is used but those of `CODECS`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lirf.store import files, tables
from lirf.store.rows import blocks

if TYPE_CHECKING:
    import zarr

FORMAT = 1
CHUNK_ROWS = 64
SHARD_ROWS = 8192
MANIFEST = "part.json"

DTYPES = frozenset({"uint8", "int64", "float32", "float64"})
CODECS = frozenset({"sharding_indexed", "bytes", "zstd", "crc32c"})
MOST_NUMBERS = 2**24  # of an item: 16 channels of 1024 x 1024


@dataclass(frozen=True)
class Part:
    """An array [N, ...], its table of N rows, and what holds for all of them."""

    array: np.ndarray
    rows: pa.Table
    attributes: dict[str, Any]


def write(folder: Path, array: np.ndarray, rows: pa.Table, attributes: dict[str, Any]) -> None:
    """Write a new part to `folder`, which must not exist.

    `array` is [N, ...], `rows` has N rows, `attributes` holds plain JSON values. The same
    content gives the same bytes.
    """
    assert len(array) == rows.num_rows, "one row an item"
    folder.mkdir()
    import zarr.storage  # noqa: PLC0415 - half a second, for which no mistake need wait

    with files.writing(folder / "array"):
        stored = zarr.create_array(
            zarr.storage.LocalStore(folder / "array"),
            shape=array.shape,
            dtype=array.dtype,
            chunks=(CHUNK_ROWS, *array.shape[1:]),
            shards=(_shard_rows(len(array)), *array.shape[1:]),
        )
        for some in blocks(len(array), 1, SHARD_ROWS):
            stored[some] = array[some]
    tables.write(folder / "rows.parquet", rows)
    manifest = {"format": FORMAT, "attributes": attributes, "files": files.checksums(folder)}
    files.write_json(folder / MANIFEST, manifest)


def read(folder: Path) -> Part:
    """Read a part after checking every file of it.

    Raises:
        ValueError: names the folder or file that is missing, damaged or of another version.
    """
    rows, attributes = read_rows(folder)
    array = open_array(folder, rows.num_rows)
    return Part(take(folder, array, slice(None)), rows, attributes)


def read_items(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return what reads items of a part's array by their places, after checking every file.

    Where `read` would take more memory than there is.
    """
    array = open_array(folder, read_rows(folder)[0].num_rows)
    return lambda places_B: take(folder, array, places_B)


def read_rows(folder: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Read a part's table and attributes without touching its array."""
    attributes = _verify(folder, "rows.parquet")["attributes"]
    return tables.read(folder / "rows.parquet"), attributes


def open_array(folder: Path, count: int) -> zarr.Array:
    """Open a part's array of `count` items after checking its files."""
    import zarr.storage  # noqa: PLC0415 - as in `write`

    _verify(folder, "array")
    _check_layout(folder / "array" / "zarr.json", count)
    place = zarr.storage.LocalStore(folder / "array", read_only=True)
    with _decoding(folder):  # of format 3 alone: a filter of format 2 can be a pickle
        return zarr.open_array(place, zarr_format=3)


def take(folder: Path, array: zarr.Array, some: slice | np.ndarray) -> np.ndarray:
    """Read items of a part's array: a slice of them, or those at the places given."""
    with _decoding(folder):
        return np.asarray(array.oindex[some])


@contextmanager
def _decoding(folder: Path) -> Iterator[None]:
    """Say in one line what a part's array has run into: codecs let through whatever that is."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"{folder / 'array'}: damaged ({files.plain(error)}); {files.REMEDY}"
        ) from None


def _verify(folder: Path, below: str) -> dict[str, Any]:
    """Check the files of a part that start with `below`, and return its manifest."""
    manifest = files.read_versioned(folder / MANIFEST, FORMAT)
    if not all(isinstance(manifest.get(key), dict) for key in ("files", "attributes")):
        raise ValueError(f"{folder / MANIFEST}: damaged; {files.REMEDY}")
    named = {name: value for name, value in manifest["files"].items() if name.startswith(below)}
    files.verify(folder, named)
    there = {path.relative_to(folder).as_posix() for path in folder.glob(f"{below}/**/*")}
    unknown = sorted(name for name in there - named.keys() if (folder / name).is_file())
    if unknown:
        raise ValueError(f"{folder / unknown[0]}: not in {MANIFEST}; {files.REMEDY}")
    if not named:
        raise ValueError(f"{folder / below}: not in {MANIFEST}; {files.REMEDY}")
    return manifest


def _shard_rows(count: int) -> int:
    """Return how many rows a file of an array of `count` rows holds."""
    return min(SHARD_ROWS, -(-max(count, 1) // CHUNK_ROWS) * CHUNK_ROWS)


def _check_layout(path: Path, count: int) -> None:
    """Check that the array described at `path` has `count` rows and the layout of `write`.

    An absurd shape would be allocated before its lack of data is seen, and a codec is code.

    Raises:
        ValueError: it has not.
    """
    document = files.read_json(path)
    try:
        length, *item = (operator.index(side) for side in document["shape"])
        (shards,) = document["codecs"]
        inner = shards["configuration"]
        codecs = {one["name"] for one in (shards, *inner["codecs"], *inner["index_codecs"])}
        right = [
            document["zarr_format"] == 3,
            document["data_type"] in DTYPES,
            length == count,
            min(item, default=1) >= 0 and math.prod(item) <= MOST_NUMBERS,
            document["chunk_grid"]["configuration"]["chunk_shape"] == [_shard_rows(count), *item],
            inner["chunk_shape"] == [CHUNK_ROWS, *item],
            codecs == CODECS,
            not document.get("storage_transformers"),
        ]
    except (KeyError, TypeError, ValueError):
        right = [False]
    if not all(right):
        raise ValueError(f"{path}: not an array as it is written here; {files.REMEDY}")
