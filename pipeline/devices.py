"""One GPU stage per GPU: the slots of this machine, held by locks that die with their holder."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path


def visible() -> tuple[str, ...]:
    """Return the GPUs that stages may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() not in ("", "-1"))
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],  # noqa: S607  # on PATH
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(done.stdout.split())


@contextlib.asynccontextmanager
async def hold(devices: Sequence[str], stop: asyncio.Event) -> AsyncIterator[str | None]:
    """Wait for a free one of `devices` and hold it; None where there is none, or on `stop`.

    Whoever runs stages of this project on this machine takes the same lock files, whichever
    clone or worker it is, so two workers never share a GPU.
    """
    if not devices:
        yield None
        return
    folder = Path(tempfile.gettempdir()) / f"lirf-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while not stop.is_set():
        for device in devices:
            with (folder / device.replace("/", "-")).open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield device
                return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.25)
    yield None
