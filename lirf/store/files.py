"""Files of the pipeline's own: JSON with a format version, and checksums of what lies beside it.

A file can be anybody's: what it says is checked before it is used, its names among the rest.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

REMEDY = "`python -m pipeline.repair` restores it, or has `dvc repro` make it anew"
LONGEST = 500  # characters of a complaint


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON with sorted keys: the same document gives the same bytes.

    Raises:
        ValueError: a number is not finite; names it.
    """
    for key, value in document.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{path}: {key} = {value} is not finite")
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False)
    with writing(path):
        path.write_text(text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: the file is missing, not JSON, or not an object.
    """
    if not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{path}: missing; {REMEDY}")
    try:
        document = json.loads(path.read_bytes(), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged ({plain(error)}); {REMEDY}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path}: damaged (not a JSON object); {REMEDY}")
    return document


def read_versioned(path: Path, version: int) -> dict[str, Any]:
    """Read a JSON object whose `format` is `version`.

    Raises:
        ValueError: as `read_json`, or the file is of another version.
    """
    document = read_json(path)
    if document.get("format") != version:
        found = plain(document.get("format"))
        raise ValueError(
            f"{path}: format {found} is not {version}, which this version reads; rerun `dvc repro`"
            " to write it anew"
        )
    return document


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder`, by its POSIX path there."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in found}


def verify(folder: Path, expected: Mapping[str, str]) -> None:
    """Check files of `folder` against their `checksums`.

    Raises:
        ValueError: names the first file that is missing or damaged, or not in `folder`.
    """
    for name, checksum in expected.items():
        path = folder / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"{path}: not a file of {folder}; {REMEDY}")
        if not path.is_file():
            raise ValueError(f"{path}: missing; {REMEDY}")
        if sha256(path) != checksum:
            raise ValueError(f"{path}: damaged (its checksum differs); {REMEDY}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name `path` in what the system says while it is written: of a full disk it names no file."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None


def plain(text: object) -> str:
    """Return a complaint on one line of bearable length that no terminal takes for a command."""
    line = "".join(one if one.isprintable() else " " for one in " ".join(str(text).split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
