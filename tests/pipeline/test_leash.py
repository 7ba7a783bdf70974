"""A leashed command ends with its starter, whatever ends the starter."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import leash

LEASH = [sys.executable, "-ES", leash.__file__]
TREE = """
import subprocess, sys, time, os, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def tree(file: Path) -> list[int]:
    deadline = time.monotonic() + 10
    while not (file.exists() and len(file.read_text().split()) == 2):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [int(pid) for pid in file.read_text().split()]


def all_end(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_output_and_status_pass_through():
    program = "import sys; print('out'); sys.exit(7)"
    with subprocess.Popen(
        [*LEASH, sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"out\n"
    assert process.returncode == 7


def test_closing_the_pipe_ends_the_whole_tree(tmp_path: Path):
    with subprocess.Popen(
        [*LEASH, sys.executable, "-c", TREE, str(tmp_path / "pids")],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        pids = tree(tmp_path / "pids")
        assert process.stdin is not None
        process.stdin.close()
        assert all_end(pids, 5)
    assert process.returncode != 0


def test_a_command_that_ignores_the_interrupt_is_ended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stubborn = "import signal; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]\n" + TREE
    program = (
        f"import sys; sys.path.insert(0, {str(Path(leash.__file__).parent)!r}); import leash;"
        "leash.PATIENCE_S = tuple((number, 0.2) for number, _ in leash.PATIENCE_S);"
        "sys.exit(leash.main(sys.argv[1:]))"
    )
    with subprocess.Popen(
        [
            *(sys.executable, "-c", program),
            *(sys.executable, "-c", stubborn, str(tmp_path / "pids")),
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        pids = tree(tmp_path / "pids")
        assert process.stdin is not None
        process.stdin.close()
        assert all_end(pids, 5)


def test_a_killed_starter_leaves_nothing(tmp_path: Path):
    command = [*LEASH, sys.executable, "-c", TREE, str(tmp_path / "pids")]
    program = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL);"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, *command]) as starter:
        pids = tree(tmp_path / "pids")
        starter.kill()
    assert all_end(pids, 5)


def test_a_killed_command_leaves_no_children(tmp_path: Path):
    with subprocess.Popen(
        [*LEASH, sys.executable, "-c", TREE, str(tmp_path / "pids")], stdin=subprocess.PIPE
    ) as process:
        pids = tree(tmp_path / "pids")
        os.kill(pids[0], signal.SIGKILL)
        assert all_end(pids, 5)
        process.wait(timeout=5)
    assert process.returncode == 128 + signal.SIGKILL
