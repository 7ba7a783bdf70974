"""What benchmarks share: ceilings measured beside the work, and a line for each result.

In the ordinary test run they are disabled: each runs once at a small size, and only what it
computes is tested. With `-n 0 --benchmark-enable` they run at full size and print ratios.

Time is the processor's, on one thread: on a machine that others use too it is the one that repeats.
Where all cores are what it is about, it is the clock's.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from threadpoolctl import threadpool_limits

Work = Callable[[], object]


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Return whether benchmarks run at full size."""
    return bool(pytestconfig.getoption("benchmark_enable"))


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], full: bool) -> Callable[[str], None]:
    """Return what prints a line of results, where there are any."""

    def line(text: str) -> None:
        if full:
            with capsys.disabled():
                sys.stdout.write(f"\n  {text}\n")

    return line


def seconds(work: Work) -> float:
    """Return the processor seconds that `work` takes, with those of a GPU where there is one."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    began = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - began


class Machine:
    """What the machine can do at the moment, by operations of a size that fits the question."""

    seconds = staticmethod(seconds)

    @staticmethod
    def forget_peak() -> float:
        """Start `peak_gib` anew, where the system can: on Linux. Return what it starts from."""
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        return Machine.peak_gib()

    @staticmethod
    def peak_gib() -> float:
        """Return the most memory that this process has had since `forget_peak`, in GiB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    @staticmethod
    def sgemm(rows: int = 1024, columns: int = 2048, depth: int = 4096) -> float:
        """Return operations a second of a float32 matrix product: the best of NumPy and torch."""
        a, b = (
            np.random.default_rng(0).standard_normal((n, depth), np.float32)
            for n in (rows, columns)
        )
        x, y = torch.from_numpy(a), torch.from_numpy(b)
        product = np.empty((rows, columns), np.float32)
        times = [
            min(seconds(lambda: np.matmul(a, b.T, out=product)) for _ in range(2)),
            min(seconds(lambda: torch.mm(x, y.T)) for _ in range(2)),
        ]
        return 2 * rows * columns * depth / min(times)

    @staticmethod
    def bfloat16(side: int = 8192) -> float:
        """Return operations a second of a bfloat16 matrix product on the GPU."""
        x = torch.randn(side, side, device="cuda", dtype=torch.bfloat16)
        return 2 * side**3 / min(seconds(lambda: x @ x) for _ in range(5))

    @staticmethod
    def copying(count: int = 2**28) -> float:
        """Return bytes a second that the GPU copies, reading and writing counted."""
        x = torch.empty(count, device="cuda")
        return 8 * count / min(seconds(x.clone) for _ in range(5))


@pytest.fixture
def machine() -> type[Machine]:
    """Return what measures ceilings."""
    return Machine


class Paired:
    """Times work, and beside every turn of it the ceiling or the alternative it is held to."""

    def __init__(self, benchmark: BenchmarkFixture, full: bool) -> None:
        self.benchmark, self.full = benchmark, full

    def __call__(self, work: Work, beside: Callable[[], float], rounds: int) -> tuple[float, float]:
        """Return the medians of (seconds of work x what `beside` returns), and of the seconds.

        `beside` runs before and after every turn, and the two are averaged. Disabled: not a number.
        """
        values: list[float] = []

        def before() -> None:
            values.append(beside())

        if not self.full:
            self.benchmark(work)
            return float("nan"), float("nan")
        self.benchmark.pedantic(work, setup=before, rounds=rounds)
        values.append(beside())
        stats: Any = self.benchmark.stats
        turns = stats.stats.data
        products = [
            turn * (values[place] + values[place + 1]) / 2 for place, turn in enumerate(turns)
        ]
        self.benchmark.extra_info["median of products"] = float(np.median(products))
        return float(np.median(products)), float(np.median(turns))


@pytest.fixture
def paired(benchmark: BenchmarkFixture, full: bool) -> Paired:
    """Return what times work beside its ceiling."""
    return Paired(benchmark, full)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread, in torch, NumPy and FAISS alike."""
    threads = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def all_cores(one_thread: None, full: bool) -> Iterator[int]:
    """Compute on every core, at full size; return how many that are."""
    count = len(os.sched_getaffinity(0)) if full else 1
    with threadpool_limits(count):
        torch.set_num_threads(count)
        yield count
