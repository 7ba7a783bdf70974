"""The hashes that DVC has of files and folders, in `dvc.lock` and in its cache."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

FOLDER = ".dir"  # ends the hash of a folder


def md5(path: Path) -> str:
    """Return the MD5 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def contents(path: Path) -> dict[str, Path | bytes]:
    """Return what DVC's cache keeps of a file or folder by its hash; the last is of the whole."""
    if path.is_file():
        return {md5(path): path}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    named = {file.relative_to(path).as_posix(): file for file in files}
    hashes = {name: md5(file) for name, file in named.items()}
    rows = [{"md5": hashes[name], "relpath": name} for name in sorted(named)]
    listing = json.dumps(rows, sort_keys=True).encode()
    whole = hashlib.md5(listing, usedforsecurity=False).hexdigest() + FOLDER
    return {**{hashes[name]: named[name] for name in named}, whole: listing}
