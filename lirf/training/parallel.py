"""Several processes that train one network on one machine, each on its share of every batch.

They are started anew rather than forked: a fork would share this one's threads and GPU. accelerate
joins them and gives each its GPU (NCCL); on a CPU they speak through gloo.
"""

from __future__ import annotations

import importlib.util
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, multiprocessing
from torch.multiprocessing.spawn import start_processes

from lirf.training.batches import Share

LOOK_S = 0.1  # between looks at signals and at processes that ended
ENDING_S = 2.0  # in which others may say why they ended too

Agree = Callable[[int], int]
"""Give every process the largest of what each of them says."""


@dataclass(frozen=True)
class Group:
    """How many processes there are, on which device, and the file that joins them."""

    count: int
    device: str
    meeting: Path
    threads: int  # of each


@dataclass(frozen=True)
class Failure:
    """What ended a process, and when by the clock that all of them share."""

    error: Exception
    when_s: float


class Reported(Exception):  # noqa: N818 - it is another's
    """What went wrong in another process, as its traceback."""


def run(
    work: Callable[..., Any],
    arguments: Iterable[object],
    count: int,
    device: torch.device,
    signalled: Callable[[], int],
) -> Any:
    """Call `work(share, agree, signalled, *arguments)` in `count` processes; return the first's.

    `signalled` gives the number of a signal that arrived here, or 0, and what the processes are
    given says the same there, all of them at once. `work` and its arguments are pickled. One that
    fails, or dies, ends the others.

    Raises:
        ValueError: accelerate or a GPU is missing, or a process died.
        Exception: what `work` raised, if it is a mistake of the user's or a lack of memory.
    """
    _require(count, device)
    context = multiprocessing.get_context("spawn")
    number = context.RawValue("i", 0)
    ends, senders = zip(*(context.Pipe(duplex=False) for _ in range(count)), strict=True)
    threads = max(1, torch.get_num_threads() // count)
    with TemporaryDirectory() as folder:
        group = Group(count, device.type, Path(folder) / "meeting", threads)
        started = start_processes(
            _begin, (group, number, senders, work, tuple(arguments)), count, join=False
        )
        assert started is not None, "nobody has waited for them yet"
        # Its own `join` names the first that it sees ended, which may not be the cause.
        processes = list[Any](started.processes)
        try:
            _wait(processes, number, signalled)
            return _outcome(processes, ends)
        finally:
            for process in processes:
                process.kill()
                process.join()


def _require(count: int, device: torch.device) -> None:
    """Raise ValueError where `count` processes cannot be had."""
    if importlib.util.find_spec("accelerate") is None:
        raise ValueError(
            f"train.processes = {count}: accelerate is not installed; `uv sync --extra gpus`, or"
            " set train.processes: 1"
        )
    if device.type == "cuda" and torch.cuda.device_count() < count:
        raise ValueError(
            f"train.processes = {count}: this machine has {torch.cuda.device_count()} usable GPUs;"
            " lower it"
        )


def _wait(processes: list[SpawnProcess], number: Any, signalled: Callable[[], int]) -> None:
    """Wait until all have ended, or one with an error, and pass signals on."""
    until_s = math.inf
    while time.monotonic() < until_s:
        running = [process.sentinel for process in processes if process.exitcode is None]
        if not running:
            return
        connection.wait(running, LOOK_S)
        number.value = number.value or signalled()
        if any(process.exitcode for process in processes):
            # Of those that wait for it some fail too: the first cause may not be the first seen.
            until_s = min(until_s, time.monotonic() + ENDING_S)


def _outcome(processes: list[SpawnProcess], ends: Iterable[Any]) -> Any:
    """Return what the first process returned, or raise what ended the first that failed."""
    said = [end.recv() if end.poll() else None for end in ends]
    failures = [one for one in said if isinstance(one, Failure)]
    for place, process in enumerate(processes, start=1):
        code = process.exitcode or 0
        if code < 0 and code != -signal.SIGABRT:  # gloo aborts one whose peer is gone
            raise _ended(place, processes)
    if failures:  # what the others then see is that it is gone
        raise min(failures, key=lambda one: (isinstance(one.error, Reported), one.when_s)).error
    for place, process in enumerate(processes, start=1):
        if process.exitcode != 0:
            raise _ended(place, processes)
    return said[0]


def _ended(place: int, processes: list[SpawnProcess]) -> ValueError:
    """Return what says how a process ended that has not said so itself."""
    which, code = f"process {place} of {len(processes)}", processes[place - 1].exitcode
    if code is None or code >= 0:
        return ValueError(f"{which} ended with status {code}")
    return ValueError(
        f"{which} was ended by {signal.Signals(-code).name}; rerun `dvc repro`, and lower"
        " train.processes if it is for lack of memory"
    )


def _begin(
    place: int,
    group: Group,
    number: Any,
    senders: Sequence[Any],
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """Do the work of one process, and say how it ended."""
    for name in (signal.SIGINT, signal.SIGTERM):  # a terminal sends them to all: the first decides
        signal.signal(name, signal.SIG_IGN)
    try:
        share, agree = _join(place, group)
        result = work(share, agree, lambda: agree(_arrived(number)), *arguments)
    except Exception as error:
        plain = isinstance(error, (ValueError, OSError, MemoryError, torch.OutOfMemoryError))
        plain = plain or "can't allocate memory" in str(error)  # what torch says on a CPU
        sayable = error if plain else Reported(traceback.format_exc())
        senders[place].send(Failure(sayable, time.monotonic()))
        sys.exit(1)
    senders[place].send(result if place == 0 else None)
    torch.distributed.destroy_process_group()


def _arrived(number: Any) -> int:
    """Return the signal that the first process was sent; its death is like one."""
    parent = parent_process()
    orphaned = parent is not None and not parent.is_alive()
    return number.value or (int(signal.SIGTERM) if orphaned else 0)


def _join(place: int, group: Group) -> tuple[Share, Agree]:
    """Join the other processes."""
    places = {"RANK": place, "LOCAL_RANK": place}
    counts = {"WORLD_SIZE": group.count, "LOCAL_WORLD_SIZE": group.count}
    threads = {"OMP_NUM_THREADS": group.threads}
    os.environ.update({key: str(value) for key, value in {**places, **counts, **threads}.items()})
    torch.set_num_threads(group.threads)
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    from accelerate import PartialState  # noqa: PLC0415 - an extra

    on_cpu = group.device == "cpu"
    numbers = {} if on_cpu else {"rank": place, "world_size": group.count}
    backend, meeting = "gloo" if on_cpu else "nccl", f"file://{group.meeting}"
    PartialState(cpu=on_cpu, backend=backend, init_method=meeting, **numbers)
    # What is said between processes is on the CPU, where nothing waits for a GPU.
    speech = torch.distributed.new_group(backend="gloo")

    def add(tensor: Tensor) -> None:
        torch.distributed.all_reduce(tensor)

    def agree(mine: int) -> int:
        word = torch.tensor(mine)
        torch.distributed.all_reduce(word, torch.distributed.ReduceOp.MAX, group=speech)
        return int(word)

    return Share(place, group.count, add), agree
