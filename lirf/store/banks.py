"""Latents and banks of them: parts whose array is scaled latents of one space.

A *bank* is a folder of parts, one a round: a merge adds a part and leaves the bytes of the earlier
ones alone. A part's name is no path. Tables and spaces are checked before any latent is read.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lirf.store import files, parts
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


def typed(columns: Mapping[str, Any]) -> pa.Table:
    """Return a table of some of its columns, with their types."""
    return pa.table(dict(columns), schema=pa.schema([BANK_SCHEMA.field(name) for name in columns]))


def bank_rows(columns: Mapping[str, Any]) -> pa.Table:
    """Return a table of `BANK_SCHEMA`; what is not among `columns` is null."""
    nothing = [None] * len(columns["id"])
    return pa.table(
        {name: columns.get(name, nothing) for name in BANK_SCHEMA.names}, schema=BANK_SCHEMA
    )


@dataclass(frozen=True)
class Register:
    """The table of latents, their space and what else holds for all of them, without them."""

    rows: pa.Table
    space: Space
    attributes: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    @property
    def real(self) -> np.ndarray:
        """Return which rows of a bank are real, [N] of bool; mirrored images are."""
        return np.array(self.rows["kind"].to_pylist()) == "real"

    @property
    def groups(self) -> np.ndarray:
        """Return a number for each row of a bank, [N], that an image and its twin share."""
        pairs = zip(self.rows["source"].to_pylist(), self.rows["id"].to_pylist(), strict=True)
        return np.unique([source or id_ for source, id_ in pairs], return_inverse=True)[1]


@dataclass(frozen=True)
class Bank(Register):
    """Scaled latents [N, C, H, W] in float32, and what a register says of them."""

    latents: np.ndarray

    def followed_by(self, more: Bank) -> Bank:
        """Return these latents and behind them others of the same space and columns."""
        rows = pa.concat_tables([self.rows, more.rows])
        return Bank(rows, self.space, np.concatenate([self.latents, more.latents]))


def write_latents(
    folder: Path, latents_NCHW: np.ndarray, rows: pa.Table, space: Space, **attributes: Any
) -> None:
    """Write scaled latents as one part that carries its space.

    Raises:
        ValueError: a latent is not finite; names it.
    """
    require_finite(folder, latents_NCHW, rows)
    _write(folder, latents_NCHW, rows, space, attributes)


def read_latents(folder: Path, room: Room | None = None, space: Space | None = None) -> Bank:
    """Read what `write_latents` wrote, to where there is room.

    Raises:
        ValueError: it is missing, damaged, of another version, or not of `space`, if that is given.
    """
    return _read(folder, [folder], room, space)


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
    require_finite(folder, latents_NCHW, rows)
    earlier = [] if previous is None else _folders(previous)
    for part in earlier:
        _space(part, parts.read_rows(part)[1]).require(space, str(part))
    folder.mkdir()
    for part in earlier:
        shutil.copytree(part, folder / part.name)
    _write(folder / round_, latents_NCHW, rows.cast(BANK_SCHEMA), space, {})
    names = [*(part.name for part in earlier), round_]
    files.write_json(folder / INDEX, {"format": FORMAT, "parts": names})


def read(folder: Path, room: Room | None = None, space: Space | None = None) -> Bank:
    """Read all parts of a bank, oldest first, to where there is room.

    Raises:
        ValueError: a part is missing, damaged, of another version or of another space, or the bank
            is not of `space`, if that is given.
    """
    return _read(folder, _folders(folder), room, space, BANK_SCHEMA)


def read_register(folder: Path, space: Space | None = None) -> Register:
    """Read the tables of all parts of a bank, oldest first, and no latent.

    Raises:
        ValueError: as `read`, but for the latents.
    """
    found = _registers(folder, _folders(folder), space, BANK_SCHEMA)
    return Register(pa.concat_tables([one.rows for one in found]), found[0].space)


def require_finite(folder: Path, latents_NCHW: np.ndarray, rows: pa.Table) -> None:
    """Raise ValueError, naming the first latent that is not finite."""
    for some in blocks(len(latents_NCHW), 1, SHARD_ROWS):
        finite_B = np.isfinite(latents_NCHW[some]).all(axis=(1, 2, 3))
        if not finite_B.all():
            culprit = rows["id"][some.start + int(np.argmin(finite_B))].as_py()
            raise ValueError(f"{folder}: the latent of {culprit} is not finite")


def _write(
    folder: Path,
    latents_NCHW: np.ndarray,
    rows: pa.Table,
    space: Space,
    attributes: Mapping[str, Any],
) -> None:
    """Write latents that are finite as one part."""
    assert latents_NCHW.dtype == np.float32, "latents are float32"
    assert latents_NCHW.shape[1:] == space.shape, "latents have the shape of their space"
    parts.write(folder, latents_NCHW, rows, {**attributes, "space": space.to_json()})


def _folders(bank: Path) -> list[Path]:
    """Return the folders of a bank's parts, oldest first."""
    names = files.read_versioned(bank / INDEX, FORMAT).get("parts")
    named = isinstance(names, list) and all(NAME.fullmatch(str(name)) for name in names)
    if not names or not named or len(set(names)) < len(names):
        raise ValueError(f"{bank / INDEX}: damaged (no names of parts); {files.REMEDY}")
    return [bank / name for name in names]


def _space(part: Path, attributes: Mapping[str, Any]) -> Space:
    """Return the space among the attributes of a part."""
    try:
        return Space.from_json(attributes.get("space", {}))
    except ValueError as error:
        raise ValueError(
            f"{part / MANIFEST}: damaged ({files.plain(error)}); {files.REMEDY}"
        ) from None


def _registers(
    folder: Path, folders: Sequence[Path], space: Space | None, schema: pa.Schema | None = None
) -> list[Register]:
    """Read the tables of the parts in `folders`, which together are `folder`."""
    found: list[Register] = []
    for part in folders:
        rows, attributes = parts.read_rows(part)
        found.append(Register(rows, _space(part, attributes), attributes=attributes))
        found[0].space.require(found[-1].space, str(part))
        if schema is not None and rows.schema != schema:
            raise ValueError(f"{part}: its table is not that of a bank; {files.REMEDY}")
    if space is not None:
        space.require(found[0].space, str(folder))
    return found


def _read(
    folder: Path,
    folders: Sequence[Path],
    room: Room | None,
    space: Space | None,
    schema: pa.Schema | None = None,
) -> Bank:
    """Read the parts in `folders`, which together are `folder`, one after the other."""
    found = _registers(folder, folders, space, schema)
    arrays = [
        parts.open_array(part, one.rows.num_rows) for part, one in zip(folders, found, strict=True)
    ]
    shape = found[0].space.shape
    for part, array in zip(folders, arrays, strict=True):
        if array.dtype != np.float32 or array.shape[1:] != shape:
            raise ValueError(f"{part}: not latents of its space; {files.REMEDY}")
    latents_NCHW = (room or Room()).empty((sum(array.shape[0] for array in arrays), *shape))
    place = 0
    for part, array in zip(folders, arrays, strict=True):
        for some in blocks(array.shape[0], 1, SHARD_ROWS):
            latents_BCHW = parts.take(part, array, some)
            latents_NCHW[place : place + len(latents_BCHW)] = latents_BCHW
            place += len(latents_BCHW)
    rows = pa.concat_tables([one.rows for one in found])
    return Bank(rows, found[0].space, latents_NCHW, attributes=found[0].attributes)
