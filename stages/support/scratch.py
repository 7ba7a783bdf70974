"""What a killed stage left behind, for the next one to go on from: checkpoints by fingerprint."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO, TypeVar

import numpy as np

from stages.support import code

State = TypeVar("State")

SCRATCH = Path(".scratch")  # in the current folder; DVC does not know it
ENDING_S = 30.0  # how long an interrupted process may take to end
LIBRARIES = ("diffusers", "numpy", "pillow", "timm", "torch", "torchdiffeq", "torchvision")
"""Those that compute what is kept there."""


def fingerprint(stage: str, numbers: Iterable[object], inputs: Iterable[Path]) -> str:
    """Return a hash of all that a stage's result depends on: numbers, files, code, libraries."""
    versions = [metadata.version(name) for name in LIBRARIES]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in inputs]
    facts = [*map(str, numbers), *hashes, code.fingerprint(stage), *versions]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@contextmanager
def claim(parent: Path, fingerprint: str) -> Iterator[Path]:
    """Give the scratch folder of `fingerprint`, alone in `parent`, to this process only.

    It waits for one whose `dvc` was killed, and which now writes a checkpoint.

    Raises:
        ValueError: another process works there, and goes on.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "lock").open("w") as lock:
        deadline = time.monotonic() + ENDING_S
        while not _locked(lock):
            if time.monotonic() > deadline:
                raise ValueError(
                    f"{parent}: another process is at work there; wait for it or end it"
                )
            time.sleep(0.1)
        for stale in parent.iterdir():
            if stale.is_dir() and stale.name != fingerprint:
                shutil.rmtree(stale)
        folder = parent / fingerprint
        folder.mkdir(exist_ok=True)
        yield folder


def _locked(file: IO[str]) -> bool:
    """Try to take the kernel's lock on `file`, which ends with the process that holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def keep(folder: Path, step: int, write: Callable[[Path], None]) -> None:
    """Write a checkpoint by one rename, unless it is there, then drop the earlier ones.

    `write` makes the folder that it is given.
    """
    partial, final = folder / "partial", folder / f"step-{step:09d}"
    if final.exists():
        return
    shutil.rmtree(partial, ignore_errors=True)
    write(partial)
    partial.rename(final)
    for earlier in folder.glob("step-*"):
        if earlier != final:
            shutil.rmtree(earlier)


def resume(folder: Path, read: Callable[[Path], State]) -> State | None:
    """Return what `read` makes of the last checkpoint that can be read, if any; delete others."""
    for found in sorted(folder.glob("step-*"), reverse=True):
        try:
            return read(found)
        except (ValueError, OSError, EOFError):  # a disk that lost power in mid-write
            shutil.rmtree(found)
    return None


def keep_array(path: Path, array: np.ndarray) -> None:
    """Write an array by one rename."""
    partial = path.with_suffix(".partial.npy")
    np.save(partial, array)
    partial.rename(path)


def read_array(path: Path) -> np.ndarray | None:
    """Return what `keep_array` wrote, None where there is nothing that can be read."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
