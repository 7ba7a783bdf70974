"""Latents, rows, parts and banks that tests write, and edits of their JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lirf.store import banks, parts
from lirf.store.files import sha256
from lirf.store.space import Space

SPACE = Space("f00d", (2, 3, 3), (0.5, -1.0), (2.0, 0.25))


def latents(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *SPACE.shape)).astype(np.float32)


def rows(count: int, round_: str = "r00") -> pa.Table:
    ids = [f"{round_}-{i:05d}" for i in range(count)]
    return banks.bank_rows({"id": ids})


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def write_bank(tmp_path: Path) -> Path:
    banks.write(tmp_path / "bank", "r00", latents(5), rows(5), SPACE)
    return tmp_path / "bank"


def write_rows(folder: Path, latents_NCHW: np.ndarray, space: Space, refined: int = 0) -> Path:
    """Write a bank of one part, the last `refined` rows of which are refined."""
    count = len(latents_NCHW)
    kinds = ["real"] * (count - refined) + ["refined"] * refined
    table = banks.bank_rows({"id": [f"row-{i}" for i in range(count)], "kind": kinds})
    banks.write(folder, "r00", latents_NCHW, table, space)
    return folder


def edit_json(path: Path, *keys: str | int, value: Any) -> None:
    """Change a value of a JSON file of a part, and its checksum in the manifest."""
    document = json.loads(path.read_text())
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(document))
    if path.name == "zarr.json":
        sign(path.parents[1], path)


def sign(part: Path, path: Path) -> None:
    name = path.relative_to(part).as_posix()
    edit_json(part / parts.MANIFEST, "files", name, value=sha256(path))
