"""Progress: a line on a terminal; where nobody is at one, lines that a program can read."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from stages.telling import progress

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def run(monkeypatch: pytest.MonkeyPatch) -> progress.Run:
    """Return what the process tells of itself, as of a new one."""
    fresh = progress.Run()
    monkeypatch.setattr(progress, "run", fresh)
    return fresh


def test_lines_name_the_label_and_end_complete(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    assert list(progress.track("abc", 3, "train r01", said=lambda: "loss 0.5")) == ["a", "b", "c"]
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith(progress.PREFIX) for line in lines)
    reports = [json.loads(line.removeprefix(progress.PREFIX)) for line in lines]
    assert [report["done"] for report in reports] == [1, 2, 3]
    assert reports[-1] == {
        "before": 0, "done": 3, "total": 3, "label": "train r01", "said": "loss 0.5", "left": 0.0
    }  # fmt: skip


def test_at_most_one_line_a_second(capsys: pytest.CaptureFixture[str]):
    list(progress.track(range(1000), total=1000, label="sample r01"))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_was_done_before_counts(capsys: pytest.CaptureFixture[str], run: progress.Run):
    list(progress.track(range(4), total=10, label="train r01", done=6))
    report = json.loads(capsys.readouterr().err.removeprefix(progress.PREFIX))
    assert (report["before"], report["done"], report["total"]) == (6, 10, 10)
    assert run.resumed


def on_a_terminal(program: str) -> list[str]:
    """Run a program on a terminal of 100 columns; return all lines that it showed."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    seen = b""
    while True:
        try:
            chunk = os.read(terminal, 1 << 16)
        except OSError:  # Linux says so of a terminal that nobody holds any more
            break
        if not chunk:
            break
        seen += chunk
    os.close(terminal)
    assert process.wait() == 0, seen.decode()
    return [line.rstrip() for line in seen.decode().replace("\r", "\n").split("\n") if line.strip()]


def test_on_a_terminal_it_is_one_line_that_says_where_the_run_is():
    lines = on_a_terminal(
        "import time\n"
        "from stages.telling import progress\n"
        "from stages.telling.standing import Standing\n"
        "begun = time.time() - 27 * 60\n"
        "progress.run.standing = Standing('train@r02', 7, 38, 120.0, 14 * 60.0, begun)\n"
        "for _ in progress.track(range(40), 80, 'train r02', 40, lambda: 'loss 0.42'):\n"
        "    time.sleep(0.01)\n"
    )
    assert lines[0] == "stage 7 of 38 · train r02 · 50% · loss 0.42 · 16 min left of 43"
    assert lines[-1] == "stage 7 of 38 · train r02 · 100% · loss 0.42 · 14 min left of 41"


def test_a_stage_by_itself_tells_of_itself():
    lines = on_a_terminal(
        "import time\n"
        "from stages.telling import progress\n"
        "for _ in progress.track(range(40), 40, 'train r02'): time.sleep(0.01)\n"
    )
    assert lines[0] == "train r02 · 0%"
    assert lines[-1] == "train r02 · 100% · 0 s left"
