"""One run in a folder; a dead run's lock is nobody's to remove."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import lock

HOLD = """
import sys, time
from pathlib import Path
from pipeline import lock
with lock.hold(Path(sys.argv[1]), "a-flow-run"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_and_told_who_is_there(tmp_path: Path):
    with (
        lock.hold(tmp_path, "first"),
        pytest.raises(ValueError, match=r"another run works in this folder .*flow run first"),
        lock.hold(tmp_path, "second"),
    ):
        pass


def test_the_next_run_learns_who_was_there(tmp_path: Path):
    with lock.hold(tmp_path, "first") as held:
        assert held.previous is None
    with lock.hold(tmp_path, "second") as held:
        assert held.previous is not None
        assert held.previous.flow_run == "first"


def test_a_killed_run_holds_nothing(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.kill()
    with lock.hold(tmp_path, "next") as held:
        assert held.previous is not None
        assert held.previous.flow_run == "a-flow-run"


def test_what_a_killed_run_left_running_is_waited_for(tmp_path: Path):
    program = (
        "import os, subprocess, sys; from pathlib import Path; from pipeline import lock\n"
        "with lock.hold(Path(sys.argv[1]), 'killed') as held:\n"
        "    subprocess.Popen(['sleep', '1.5'], pass_fds=(held.descriptor,))\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    began = time.monotonic()
    with lock.hold(tmp_path, "next"):
        assert time.monotonic() - began > 0.5
