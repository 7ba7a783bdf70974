"""Files of the pipeline's own: JSON with a format version, and checksums of what lies beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REMEDY = "`dvc checkout` restores it, or rerun the stage that writes it with `dvc repro -f -s`"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON with sorted keys: the same document gives the same bytes."""
    path.write_text(json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: the file is missing, not JSON, or not an object.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path}: missing; {REMEDY}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({error}); {REMEDY}") from None
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
        raise ValueError(
            f"{path}: format {document.get('format')} is not {version}, which this version reads;"
            " rerun `dvc repro` to write it anew"
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
        ValueError: names the first file that is missing or damaged.
    """
    for name, checksum in expected.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path}: missing; {REMEDY}")
        if sha256(path) != checksum:
            raise ValueError(f"{path}: damaged (its checksum differs); {REMEDY}")
