"""What the pipeline keeps: sharded Zarr arrays, each beside a Parquet table with a row an item.

A *part* is a folder with one array, its table and a manifest (`part.json`) that holds the format
version, the attributes and a checksum of every file, so that a missing, truncated or altered
file is named before it is used. A *bank* is a folder of parts, one a round: a merge adds a part
and leaves the bytes of the earlier ones alone.

What a file says of itself is not believed: an array has the layout that is written here and as many
rows as its table, a part's name is no path, and no codec is used but those of `CODECS`.
"""

from __future__ import annotations

import math
import operator
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from zarr.storage import LocalStore

from lirf import files
from lirf.space import Space

FORMAT = 1
CHUNK_ROWS = 64
SHARD_ROWS = 8192
MANIFEST = "part.json"
INDEX = "bank.json"

NAME = re.compile(r"[a-z][a-z0-9_]*")  # of a part
DTYPES = frozenset({"uint8", "int64", "float32", "float64"})
CODECS = frozenset({"sharding_indexed", "bytes", "zstd", "crc32c"})
MOST_ROWS = 10**7
MOST_NUMBERS = 2**24  # of an item: 16 channels of 1024 x 1024

BANK_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("round", pa.string()),
        ("kind", pa.string()),  # real | refined
        ("source", pa.string()),  # image file of a real row
        ("flip", pa.bool_()),
        ("parents", pa.list_(pa.string())),  # ids of bank rows a refined row was corrected towards
        ("weights", pa.list_(pa.float64())),  # of the parents, summing to 1
        ("lambda", pa.float64()),
        ("displacement", pa.float64()),
        ("novelty", pa.float64()),
        ("seed", pa.int64()),
    ]
)


def bank_rows(columns: Mapping[str, Any]) -> pa.Table:
    """Return a table of `BANK_SCHEMA`; what is not among `columns` is null."""
    nothing = [None] * len(columns["id"])
    return pa.table(
        {name: columns.get(name, nothing) for name in BANK_SCHEMA.names}, schema=BANK_SCHEMA
    )


@dataclass(frozen=True)
class Part:
    """An array [N, ...], its table of N rows, and what holds for all of them."""

    array: np.ndarray
    rows: pa.Table
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Bank:
    """Scaled latents [N, C, H, W] in float32, their table, and the space they live in."""

    latents: np.ndarray
    rows: pa.Table
    space: Space

    @property
    def real(self) -> np.ndarray:
        """Return which rows are real, [N] of bool; mirrored images are."""
        return np.array(self.rows["kind"].to_pylist()) == "real"

    @property
    def groups(self) -> np.ndarray:
        """Return a number for each row, [N], that an image and its mirrored twin share."""
        pairs = zip(self.rows["source"].to_pylist(), self.rows["id"].to_pylist(), strict=True)
        return np.unique([source or id_ for source, id_ in pairs], return_inverse=True)[1]


def write_part(folder: Path, array: np.ndarray, rows: pa.Table, attributes: dict[str, Any]) -> None:
    """Write a new part to `folder`, which must not exist.

    `array` is [N, ...], `rows` has N rows, `attributes` holds plain JSON values. The same
    content gives the same bytes.
    """
    assert len(array) == rows.num_rows, "one row an item"
    folder.mkdir()
    with files.writing(folder / "array"):
        stored = zarr.create_array(
            LocalStore(folder / "array"),
            shape=array.shape,
            dtype=array.dtype,
            chunks=(CHUNK_ROWS, *array.shape[1:]),
            shards=(_shard_rows(len(array)), *array.shape[1:]),
        )
        stored[:] = array
    write_table(folder / "rows.parquet", rows)
    manifest = {"format": FORMAT, "attributes": attributes, "files": files.checksums(folder)}
    files.write_json(folder / MANIFEST, manifest)


def read_part(folder: Path) -> Part:
    """Read a part after checking every file of it.

    Raises:
        ValueError: names the folder or file that is missing, damaged or of another version.
    """
    rows, attributes = read_rows(folder)
    _verify(folder, "array")
    _check_layout(folder / "array" / "zarr.json", rows.num_rows)
    try:  # of format 3 alone: a filter of format 2 can be a pickle
        stored = zarr.open_array(LocalStore(folder / "array", read_only=True), zarr_format=3)
        return Part(np.asarray(stored[:]), rows, attributes)
    except MemoryError:
        raise
    except Exception as error:  # codecs let through whatever they run into
        raise ValueError(
            f"{folder / 'array'}: damaged ({files.plain(error)}); {files.REMEDY}"
        ) from None


def read_items(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return what reads items of a part's array by their places, after checking every file.

    Where `read_part` would take more memory than there is.
    """
    _verify(folder, "array")
    stored = zarr.open_array(LocalStore(folder / "array", read_only=True), mode="r")
    return lambda places_B: np.asarray(stored.oindex[places_B])


def read_rows(folder: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Read a part's table and attributes without touching its array."""
    attributes = _verify(folder, "rows.parquet")["attributes"]
    return read_table(folder / "rows.parquet"), attributes


def write_latents(
    folder: Path, latents_NCHW: np.ndarray, rows: pa.Table, space: Space, **attributes: Any
) -> None:
    """Write scaled latents as one part that carries its space.

    Raises:
        ValueError: a latent is not finite; names it.
    """
    assert latents_NCHW.dtype == np.float32, "latents are float32"
    assert latents_NCHW.shape[1:] == space.shape, "latents have the shape of their space"
    _require_finite(folder, latents_NCHW, rows)
    write_part(folder, latents_NCHW, rows, {**attributes, "space": space.to_json()})


def read_latents(folder: Path) -> Bank:
    """Read what `write_latents` wrote."""
    part = read_part(folder)
    space = read_space(folder, part.attributes)
    if part.array.dtype != np.float32 or part.array.shape[1:] != space.shape:
        raise ValueError(f"{folder}: not latents of its space; {files.REMEDY}")
    return Bank(part.array, part.rows, space)


def read_space(folder: Path, attributes: Mapping[str, Any]) -> Space:
    """Return the space among the attributes of the part in `folder`.

    Raises:
        ValueError: there is none; names the part's manifest.
    """
    try:
        return Space.from_json(attributes.get("space", {}))
    except ValueError as error:
        raise ValueError(
            f"{folder / MANIFEST}: damaged ({files.plain(error)}); {files.REMEDY}"
        ) from None


def write_bank(
    folder: Path,
    round_: str,
    latents_NCHW: np.ndarray,
    rows: pa.Table,
    space: Space,
    previous: Path | None = None,
) -> None:
    """Write a bank: the parts of `previous`, byte for byte, and one new part named `round_`.

    Raises:
        ValueError: the new latents are of another space than `previous`, or a latent is not finite.
    """
    _require_finite(folder, latents_NCHW, rows)
    parts = [] if previous is None else _part_names(previous)
    folder.mkdir()
    for name in parts:
        assert previous is not None
        _, attributes = read_rows(previous / name)
        read_space(previous / name, attributes).require(space, str(previous / name))
        shutil.copytree(previous / name, folder / name)
    write_latents(folder / round_, latents_NCHW, rows.cast(BANK_SCHEMA), space)
    files.write_json(folder / INDEX, {"format": FORMAT, "parts": [*parts, round_]})


def read_bank(folder: Path) -> Bank:
    """Read all parts of a bank, oldest first.

    Raises:
        ValueError: a part is missing, damaged, of another version or of another space.
    """
    names = _part_names(folder)
    parts = [read_latents(folder / name) for name in names]
    space = parts[0].space
    for name, part in zip(names, parts, strict=True):
        space.require(part.space, str(folder / name))
        if part.rows.schema != BANK_SCHEMA:
            raise ValueError(f"{folder / name}: its table is not that of a bank; {files.REMEDY}")
    return Bank(
        np.concatenate([part.latents for part in parts]),
        pa.concat_tables([part.rows for part in parts]),
        space,
    )


def write_table(path: Path, rows: pa.Table) -> None:
    """Write a table as Parquet; the same rows give the same bytes."""
    with files.writing(path):
        pq.write_table(rows, path, compression="zstd")


def read_table(path: Path) -> pa.Table:
    """Read a Parquet table.

    Raises:
        ValueError: the file is missing, is not Parquet or has absurdly many rows.
    """
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MOST_ROWS:
                raise ValueError(f"{file.metadata.num_rows} rows, at most {MOST_ROWS}")
            return file.read()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ValueError(f"{path}: cannot be read ({files.plain(error)}); {files.REMEDY}") from None


def _require_finite(folder: Path, latents_NCHW: np.ndarray, rows: pa.Table) -> None:
    """Raise ValueError, naming the first latent that is not finite."""
    finite_N = np.isfinite(latents_NCHW).all(axis=(1, 2, 3))
    if not finite_N.all():
        culprit = rows["id"][int(np.argmin(finite_N))].as_py()
        raise ValueError(f"{folder}: the latent of {culprit} is not finite")


def _part_names(folder: Path) -> list[str]:
    """Return the names of a bank's parts, oldest first."""
    names = files.read_versioned(folder / INDEX, FORMAT).get("parts")
    named = isinstance(names, list) and all(NAME.fullmatch(str(name)) for name in names)
    if not names or not named or len(set(names)) < len(names):
        raise ValueError(f"{folder / INDEX}: damaged (no names of parts); {files.REMEDY}")
    return names


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
    """Check that the array described at `path` has `count` rows and the layout of `write_part`.

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
