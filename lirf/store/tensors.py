"""Tensors and random generators on disk: safetensors with a checksum, and plain text."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

from lirf.store import files


def write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors; the same ones give the same bytes."""
    with files.writing(path):  # `save_file` would make files that only their owner can read
        path.write_bytes(to_bytes(tensors))


def fill(into: Mapping[str, Tensor], path: Path, checksum: str | None, of: str) -> None:
    """Copy what `write` wrote into tensors, in place, after comparing it with its checksum.

    Raises:
        ValueError: the file is missing or damaged, or has other tensors than those of `of`.
    """
    copy(read(path, checksum), into, path, of)


def copy(stored: Mapping[str, Tensor], into: Mapping[str, Tensor], path: Path, of: str) -> None:
    """Copy the tensors that were `stored` at `path` into others, in place.

    Raises:
        ValueError: they are not the same ones, or of other shapes; `of` says whose they should be.
    """
    shapes = [{name: one.shape for name, one in group.items()} for group in (stored, into)]
    if shapes[0] != shapes[1]:
        raise foreign(path, of)
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(stored[name])


def foreign(path: Path, of: str) -> ValueError:
    """Return the error of a file that has other tensors than those of `of`."""
    return ValueError(f"{path}: not the tensors of {of}; rerun `dvc repro` to write it anew")


def read(path: Path, checksum: str | None) -> dict[str, Tensor]:
    """Read what `write` wrote, after comparing it with its checksum.

    Raises:
        ValueError: the file is missing or damaged.
    """
    files.verify(path.parent, {path.name: str(checksum)})
    try:
        return load_file(path)
    except SafetensorError:
        raise ValueError(f"{path}: damaged; {files.REMEDY}") from None


def generator_to_text(generator: torch.Generator) -> str:
    """Return the state of a generator as text."""
    return base64.b64encode(generator.get_state().numpy().tobytes()).decode()


def generator_from_text(text: str) -> Tensor:
    """Return the state that `generator_to_text` wrote, for a generator to be set to.

    Raises:
        ValueError: it is no such text.
    """
    try:
        state = torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
        torch.Generator().set_state(state)
    except (ValueError, TypeError, RuntimeError):
        raise ValueError("not the state of a generator") from None
    return state
