"""One pipeline run in a folder at a time; the lock is the kernel's, so a dead run holds none."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

ENDING_S = 25.0
"""How long the processes of a killed run may take to end: a little more than the leash takes."""


@dataclass(frozen=True)
class Owner:
    """The run that holds the lock, or held it last."""

    pid: int
    flow_run: str  # the id of its flow run


@dataclass(frozen=True)
class Held:
    """A lock in hand. Processes that inherit `descriptor` keep the folder locked until they end."""

    descriptor: int
    previous: Owner | None


def path_of(root: Path) -> Path:
    """Return the file that is locked. It is never removed: only the lock on it counts."""
    return root / ".dvc" / "tmp" / "pipeline.lock"


@contextlib.contextmanager
def hold(root: Path, flow_run: str) -> Iterator[Held]:
    """Hold the folder `root` for a run.

    Raises:
        ValueError: another run works in the folder.
    """
    path = path_of(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        _wait(file.fileno(), path)
        previous = owner(root)
        file.truncate(0)
        file.write(json.dumps(asdict(Owner(os.getpid(), flow_run))))
        file.flush()
        yield Held(file.fileno(), previous)


def owner(root: Path) -> Owner | None:
    """Return the run that last took the lock."""
    try:
        return Owner(**json.loads(path_of(root).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _wait(descriptor: int, path: Path) -> None:
    """Take the lock; wait only for what a dead run's processes still have to finish."""
    deadline = time.monotonic() + ENDING_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = owner(path.parents[2])
            if holder is None or psutil.pid_exists(holder.pid) or time.monotonic() > deadline:
                who = f"process {holder.pid}, flow run {holder.flow_run}" if holder else "a process"
                raise ValueError(
                    f"another run works in this folder ({who}); wait for it or cancel it"
                ) from None
            time.sleep(0.2)
        else:
            return
