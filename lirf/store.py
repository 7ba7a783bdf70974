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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lirf import files
from lirf.rows import FileRows, Room, Rows, blocks
from lirf.space import Space

if TYPE_CHECKING:
    import zarr

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
class Register:
    """The table of a bank, and the space of its latents, without them."""

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


@dataclass(frozen=True)
class Bank(Register):
    """Scaled latents [N, C, H, W] in float32, their table, and the space they live in."""

    latents: np.ndarray


def write_part(folder: Path, array: Rows, rows: pa.Table, attributes: dict[str, Any]) -> None:
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
            dtype=array.dtype if isinstance(array, np.ndarray) else np.dtype(np.float32),
            chunks=(CHUNK_ROWS, *array.shape[1:]),
            shards=(_shard_rows(len(array)), *array.shape[1:]),
        )
        for some in blocks(len(array), 1, SHARD_ROWS):
            stored[some] = array[some]
    write_table(folder / "rows.parquet", rows)
    manifest = {"format": FORMAT, "attributes": attributes, "files": files.checksums(folder)}
    files.write_json(folder / MANIFEST, manifest)


def read_part(folder: Path) -> Part:
    """Read a part after checking every file of it.

    Raises:
        ValueError: names the folder or file that is missing, damaged or of another version.
    """
    rows, attributes = read_rows(folder)
    stored = _open(folder, rows.num_rows)
    return Part(_take(folder, stored, slice(None)), rows, attributes)


def read_items(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return what reads items of a part's array by their places, after checking every file.

    Where `read_part` would take more memory than there is.
    """
    stored = _open(folder, read_rows(folder)[0].num_rows)
    return lambda places_B: np.asarray(stored.oindex[places_B])


def read_rows(folder: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Read a part's table and attributes without touching its array."""
    attributes = _verify(folder, "rows.parquet")["attributes"]
    return read_table(folder / "rows.parquet"), attributes


def write_latents(
    folder: Path, latents_NCHW: Rows, rows: pa.Table, space: Space, **attributes: Any
) -> None:
    """Write scaled latents as one part that carries its space.

    Raises:
        ValueError: a latent is not finite; names it.
    """
    _require_finite(folder, latents_NCHW, rows)
    _write_latents(folder, latents_NCHW, rows, space, attributes)


def read_latents(folder: Path) -> Bank:
    """Read what `write_latents` wrote."""
    part = read_part(folder)
    space = read_space(folder, part.attributes)
    if part.array.dtype != np.float32 or part.array.shape[1:] != space.shape:
        raise ValueError(f"{folder}: not latents of its space; {files.REMEDY}")
    return Bank(part.rows, space, part.array)


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
    earlier = [] if previous is None else parts(previous)
    folder.mkdir()
    for part in earlier:
        _, attributes = read_rows(part)
        read_space(part, attributes).require(space, str(part))
        shutil.copytree(part, folder / part.name)
    _write_latents(folder / round_, latents_NCHW, rows.cast(BANK_SCHEMA), space, {})
    names = [*(part.name for part in earlier), round_]
    files.write_json(folder / INDEX, {"format": FORMAT, "parts": names})


def read_bank(folder: Path) -> Bank:
    """Read all parts of a bank, oldest first.

    Raises:
        ValueError: a part is missing, damaged, of another version or of another space.
    """
    known = read_register(folder)
    latents_NCHW = read_arrays(parts(folder), Room())
    assert isinstance(latents_NCHW, np.ndarray), "there is room in memory"
    return Bank(known.rows, known.space, latents_NCHW)


def read_register(folder: Path) -> Register:
    """Read the tables of all parts of a bank, oldest first, and no latent.

    Raises:
        ValueError: as `read_bank`, but for the latents.
    """
    tables, spaces = [], []
    for part in parts(folder):
        rows, attributes = read_rows(part)
        spaces.append(read_space(part, attributes))
        spaces[0].require(spaces[-1], str(part))
        if rows.schema != BANK_SCHEMA:
            raise ValueError(f"{part}: its table is not that of a bank; {files.REMEDY}")
        tables.append(rows)
    return Register(pa.concat_tables(tables), spaces[0])


def read_arrays(folders: Sequence[Path], room: Room) -> np.ndarray | FileRows:
    """Read the latents of parts of one space, one after the other, to where there is room.

    Raises:
        ValueError: as `read_latents`.
    """
    opened = []
    for folder in folders:
        rows, attributes = read_rows(folder)
        stored, space = _open(folder, rows.num_rows), read_space(folder, attributes)
        if stored.dtype != np.float32 or stored.shape[1:] != space.shape:
            raise ValueError(f"{folder}: not latents of its space; {files.REMEDY}")
        opened.append((folder, stored, space))
    count = sum(stored.shape[0] for _, stored, _ in opened)
    latents_NCHW = room.empty((count, *opened[0][2].shape))
    first = 0
    for folder, stored, _ in opened:
        for some in blocks(stored.shape[0], 1, SHARD_ROWS):
            latents_BCHW = _take(folder, stored, some)
            latents_NCHW[first : first + len(latents_BCHW)] = latents_BCHW
            first += len(latents_BCHW)
    return latents_NCHW


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


def _write_latents(
    folder: Path, latents_NCHW: Rows, rows: pa.Table, space: Space, attributes: dict[str, Any]
) -> None:
    """Write latents that are finite as one part."""
    if isinstance(latents_NCHW, np.ndarray):
        assert latents_NCHW.dtype == np.float32, "latents are float32"
    assert latents_NCHW.shape[1:] == space.shape, "latents have the shape of their space"
    write_part(folder, latents_NCHW, rows, {**attributes, "space": space.to_json()})


def _require_finite(folder: Path, latents_NCHW: Rows, rows: pa.Table) -> None:
    """Raise ValueError, naming the first latent that is not finite."""
    for some in blocks(len(latents_NCHW), 1, SHARD_ROWS):
        finite_B = np.isfinite(latents_NCHW[some]).all(axis=(1, 2, 3))
        if not finite_B.all():
            culprit = rows["id"][some.start + int(np.argmin(finite_B))].as_py()
            raise ValueError(f"{folder}: the latent of {culprit} is not finite")


def parts(folder: Path) -> list[Path]:
    """Return the folders of a bank's parts, oldest first."""
    names = files.read_versioned(folder / INDEX, FORMAT).get("parts")
    named = isinstance(names, list) and all(NAME.fullmatch(str(name)) for name in names)
    if not names or not named or len(set(names)) < len(names):
        raise ValueError(f"{folder / INDEX}: damaged (no names of parts); {files.REMEDY}")
    return [folder / name for name in names]


def _open(folder: Path, count: int) -> zarr.Array:
    """Open a part's array of `count` items after checking its files."""
    import zarr.storage  # noqa: PLC0415 - as in `write_part`

    _verify(folder, "array")
    _check_layout(folder / "array" / "zarr.json", count)
    place = zarr.storage.LocalStore(folder / "array", read_only=True)
    try:  # of format 3 alone: a filter of format 2 can be a pickle
        return zarr.open_array(place, zarr_format=3)
    except Exception as error:
        raise ValueError(
            f"{folder / 'array'}: damaged ({files.plain(error)}); {files.REMEDY}"
        ) from None


def _take(folder: Path, stored: zarr.Array, some: slice) -> np.ndarray:
    """Read items of a part's array."""
    try:
        return np.asarray(stored[some])
    except MemoryError:
        raise
    except Exception as error:  # codecs let through whatever they run into
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
