"""Run one stage with DVC, as a process of its own, and tell what became of it."""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from stages.telling.progress import PREFIX

LEASH = Path(__file__).with_name("leash.py")
LAST_LINES = 15
LONGEST = 4000  # characters of one log line

DVC = [sys.executable, "-m", "dvc", "--wait-for-lock"]
"""Waits for DVC's repository lock, which another stage holds for moments."""


NAGGING = re.compile(
    r"To track the changes with git, run:|\s+git add |To enable auto staging, run:"
    r"|\s+dvc config core\.autostage true|Use `dvc push` to send your updates"
)
"""Lines of DVC for a person at a terminal."""


class End(Enum):
    """How a stage ended."""

    RAN = "ran"
    UNCHANGED = "DVC finds it unchanged"
    RESTORED = "its outputs come from DVC's run cache"
    FAILED = "failed"
    STOPPED = "stopped before its end"


@dataclass(frozen=True)
class Outcome:
    """How a stage ended and the last lines of its own output."""

    end: End
    last: str = ""


@dataclass(frozen=True)
class Progress:
    """A progress line of `stages.telling.progress`."""

    done: int
    total: int
    label: str
    left: float | None = None  # seconds to its end
    said: str = ""  # what else there is to tell: the loss
    before: int = 0  # of what is done, what another process did


@dataclass(frozen=True)
class Place:
    """Where stages run: the repository, who stops them, the lock that their processes share."""

    root: Path
    stop: asyncio.Event
    lock: int | None = None
    device: str | None = None  # the GPU, as CUDA_VISIBLE_DEVICES names it


Listener = Callable[["str | Progress"], Awaitable[None]]


async def reproduce(name: str, place: Place, listen: Listener, force: bool = False) -> Outcome:
    """Reproduce one stage, handing every line and every progress report to `listen`."""
    command = [*DVC, "repro", "--single-item", *(["--force"] if force else []), name]
    end, own, other = End.RAN, deque[str](maxlen=LAST_LINES), deque[str](maxlen=LAST_LINES)
    speaks = False  # the stage itself, between DVC's announcement and DVC's verdict
    code: list[int] = []
    async for line in lines(command, place, code):
        progress = parse(line)
        await listen(progress or line)
        if progress:
            continue
        if line.startswith("> ") and not speaks:
            speaks = True
        elif line.startswith("ERROR: failed to reproduce"):
            speaks = False
            other.append(line)
        elif speaks:
            own.append(line)
        else:
            other.append(line)
            if line.startswith(f"Stage '{name}' didn't change"):
                end = End.UNCHANGED
            elif line.startswith(f"Stage '{name}' is cached"):
                end = End.RESTORED
    if code == [0]:
        return Outcome(end)
    if place.stop.is_set():
        return Outcome(End.STOPPED)
    return Outcome(End.FAILED, "\n".join(own or other))


async def dvc(place: Place, *arguments: str) -> str:
    """Run another DVC command.

    Raises:
        ValueError: it failed; its last lines.
    """
    code: list[int] = []
    output = deque([line async for line in lines([*DVC, *arguments], place, code)], LAST_LINES)
    if code != [0]:
        raise ValueError(f"dvc {arguments[0]} failed: " + "\n".join(output))
    return "\n".join(output)


async def lines(command: list[str], place: Place, code: list[int]) -> AsyncIterator[str]:
    """Run `command` on a leash, yield its lines as they come, put its exit status into `code`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-ES", str(LEASH)),
        *command,
        cwd=place.root,
        env=environment(place),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches the flow alone, which then closes the pipe
        pass_fds=() if place.lock is None else (place.lock,),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    pipe = process.stdin

    async def close_when_stopped() -> None:
        await place.stop.wait()
        pipe.close()

    closer = asyncio.create_task(close_when_stopped())
    try:
        rest, decoder = "", codecs.getincrementaldecoder("utf-8")(errors="replace")
        while chunk := await process.stdout.read(1 << 16):
            *whole, rest = re.split(r"[\r\n]+", rest + decoder.decode(chunk))
            for line in whole:
                if line.strip() and not NAGGING.match(line):
                    yield line[:LONGEST]
        if rest.strip():
            yield rest[:LONGEST]
    finally:
        closer.cancel()
        pipe.close()
        code.append(await process.wait())


def environment(place: Place) -> dict[str, str]:
    """Return the environment of a stage: this Python first, lines unbuffered, its GPU."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # Prefect's own variables would tell a stage that it is a flow run.
    own = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT__")}
    gpu = {} if place.device is None else {"CUDA_VISIBLE_DEVICES": place.device}
    return {**own, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", **gpu}


def parse(line: str) -> Progress | None:
    """Return what a progress line says, or None for any other line."""
    if not line.startswith(PREFIX):
        return None
    try:
        return Progress(**json.loads(line.removeprefix(PREFIX)))
    except (ValueError, TypeError):
        return None
