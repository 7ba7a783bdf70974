"""Processes that work on one thing: what they return, and how they end."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lirf.training import parallel

sys.path.insert(0, str(Path(__file__).parents[1]))  # `crew`: importlib mode adds no folder

from crew import add, fail, wait_for_a_signal

CPU = torch.device("cpu")


def never() -> int:
    return 0


def test_they_add_and_agree_and_divide_the_threads():
    total, largest, threads = parallel.run(add, ([1.0, 2.5],), 2, CPU, never)
    assert (total, largest) == (3.5, 1)
    assert threads == max(1, torch.get_num_threads() // 2)


def test_a_signal_here_reaches_them_all():
    began = time.monotonic()

    def after_a_while() -> int:
        return signal.SIGTERM if time.monotonic() > began + 1 else 0

    assert parallel.run(wait_for_a_signal, (), 2, CPU, after_a_while) == signal.SIGTERM


@pytest.mark.parametrize("aborts", ["never", "at once", "after its word"])
@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("killed", ValueError, "^process 2 of 2 was ended by SIGKILL; rerun"),
        ("mistaken", ValueError, "^the second$"),
        ("broken", parallel.Reported, "RuntimeError: the second"),
    ],
)
def test_one_that_fails_ends_the_others_and_is_named(
    how: str, error: type[Exception], message: str, aborts: str
):
    with pytest.raises(error, match=message):
        parallel.run(fail, (how, aborts), 2, CPU, never)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        ValueError, match=r"^train\.processes = 2: accelerate is not installed; `uv"
    ):
        parallel.run(add, (), 2, CPU, never)
    monkeypatch.undo()
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"^train\.processes = 2: this machine has 1 usable GPUs"):
        parallel.run(add, (), 2, torch.device("cuda"), never)


def test_accelerate_is_imported_only_where_processes_join():
    program = "import sys, lirf.training.parallel; print('accelerate' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
