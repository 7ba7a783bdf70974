"""Latents and banks of them: parts whose array is scaled latents of one space.

A *bank* is a folder of parts, one a round: a merge adds a part and leaves the bytes of the earlier
ones alone. A part's name is no path.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lirf.store import files
from lirf.store import parts as parts_
from lirf.store.parts import FORMAT, MANIFEST, SHARD_ROWS
from lirf.store.rows import Room, blocks
from lirf.store.space import Space

INDEX = "bank.json"
NAME = re.compile(r"[a-z][a-z0-9_]*")  # of a part

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


def write_latents(
    folder: Path, latents_NCHW: np.ndarray, rows: pa.Table, space: Space, **attributes: Any
) -> None:
    """Write scaled latents as one part that carries its space.

    Raises:
        ValueError: a latent is not finite; names it.
    """
    _require_finite(folder, latents_NCHW, rows)
    _write_latents(folder, latents_NCHW, rows, space, attributes)


def read_latents(folder: Path) -> Bank:
    """Read what `write_latents` wrote."""
    part = parts_.read(folder)
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


def write(
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
        _, attributes = parts_.read_rows(part)
        read_space(part, attributes).require(space, str(part))
        shutil.copytree(part, folder / part.name)
    _write_latents(folder / round_, latents_NCHW, rows.cast(BANK_SCHEMA), space, {})
    names = [*(part.name for part in earlier), round_]
    files.write_json(folder / INDEX, {"format": FORMAT, "parts": names})


def read(folder: Path) -> Bank:
    """Read all parts of a bank, oldest first.

    Raises:
        ValueError: a part is missing, damaged, of another version or of another space.
    """
    known = read_register(folder)
    return Bank(known.rows, known.space, read_arrays(parts(folder), Room()))


def read_register(folder: Path) -> Register:
    """Read the tables of all parts of a bank, oldest first, and no latent.

    Raises:
        ValueError: as `read`, but for the latents.
    """
    tables, spaces = [], []
    for part in parts(folder):
        rows, attributes = parts_.read_rows(part)
        spaces.append(read_space(part, attributes))
        spaces[0].require(spaces[-1], str(part))
        if rows.schema != BANK_SCHEMA:
            raise ValueError(f"{part}: its table is not that of a bank; {files.REMEDY}")
        tables.append(rows)
    return Register(pa.concat_tables(tables), spaces[0])


def read_arrays(folders: Sequence[Path], room: Room) -> np.ndarray:
    """Read the latents of parts of one space, one after the other, to where there is room.

    Raises:
        ValueError: as `read_latents`.
    """
    opened = []
    for folder in folders:
        rows, attributes = parts_.read_rows(folder)
        stored, space = parts_.open_array(folder, rows.num_rows), read_space(folder, attributes)
        if stored.dtype != np.float32 or stored.shape[1:] != space.shape:
            raise ValueError(f"{folder}: not latents of its space; {files.REMEDY}")
        opened.append((folder, stored, space))
    count = sum(stored.shape[0] for _, stored, _ in opened)
    latents_NCHW = room.empty((count, *opened[0][2].shape))
    first = 0
    for folder, stored, _ in opened:
        for some in blocks(stored.shape[0], 1, SHARD_ROWS):
            latents_BCHW = parts_.take(folder, stored, some)
            latents_NCHW[first : first + len(latents_BCHW)] = latents_BCHW
            first += len(latents_BCHW)
    return latents_NCHW


def parts(folder: Path) -> list[Path]:
    """Return the folders of a bank's parts, oldest first."""
    names = files.read_versioned(folder / INDEX, FORMAT).get("parts")
    named = isinstance(names, list) and all(NAME.fullmatch(str(name)) for name in names)
    if not names or not named or len(set(names)) < len(names):
        raise ValueError(f"{folder / INDEX}: damaged (no names of parts); {files.REMEDY}")
    return [folder / name for name in names]


def _write_latents(
    folder: Path, latents_NCHW: np.ndarray, rows: pa.Table, space: Space, attributes: dict[str, Any]
) -> None:
    """Write latents that are finite as one part."""
    assert latents_NCHW.dtype == np.float32, "latents are float32"
    assert latents_NCHW.shape[1:] == space.shape, "latents have the shape of their space"
    parts_.write(folder, latents_NCHW, rows, {**attributes, "space": space.to_json()})


def _require_finite(folder: Path, latents_NCHW: np.ndarray, rows: pa.Table) -> None:
    """Raise ValueError, naming the first latent that is not finite."""
    for some in blocks(len(latents_NCHW), 1, SHARD_ROWS):
        finite_B = np.isfinite(latents_NCHW[some]).all(axis=(1, 2, 3))
        if not finite_B.all():
            culprit = rows["id"][some.start + int(np.argmin(finite_B))].as_py()
            raise ValueError(f"{folder}: the latent of {culprit} is not finite")
