"""The runner: whole outputs or none, and one line for a mistake of the user's."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lirf import params as settings
from stages.support import command

ROOT = Path(__file__).parents[3]

STAGE = """
import errno
import os
import signal
import time
from pathlib import Path
from lirf.params import Params
from stages.support import command

def toy(params: Params, run: str, source: Path, result: command.Out, folder: command.Out) -> None:
    "Copy a file."
    folder.mkdir()
    (folder / "part").write_text("half")
    result.write_text(source.read_text() + run + params.device)
    if run == "bad":
        raise ValueError("toy = 1: too small;\\n  write 2")
    if run == "bug":
        raise RuntimeError("ours")
    if run == "memory":
        import numpy
        numpy.empty(1 << 60, numpy.uint8)
    if run == "gpu":
        from torch import OutOfMemoryError
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    if run == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "data/x")
    if run == "slow":
        Path("pid").write_text(str(os.getpid()))
        time.sleep(60)
    if run == "deferring":
        with command.deferred() as interrupted:
            Path("pid").write_text(str(os.getpid()))
            while not interrupted():
                time.sleep(0.01)
            Path("saved").touch()

if __name__ == "__main__":
    command.run(toy)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "toy.py").write_text(STAGE)
    (tmp_path / "source").write_text("text ")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def order(run: str, source: str = "source") -> list[str]:
    options = {"run": run, "source": source, "result": "out/result", "folder": "out/folder"}
    return [sys.executable, "toy.py", *(f"--{key}={value}" for key, value in options.items())]


def toy(
    project: Path, run: str = "r01", source: str = "source"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        order(run, source),
        cwd=project,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def outputs(project: Path) -> list[str]:
    return sorted(path.relative_to(project).as_posix() for path in (project / "out").rglob("*"))


def test_outputs_appear_whole(project: Path):
    done = toy(project)
    assert done.returncode == 0, done.stderr
    assert (project / "out" / "result").read_text() == "text r01auto"
    assert outputs(project) == ["out/folder", "out/folder/part", "out/result"]


def test_a_rerun_replaces_what_was_there(project: Path):
    toy(project)
    (project / "out" / "folder" / "stale").touch()
    toy(project, run="r02")
    assert (project / "out" / "result").read_text() == "text r02auto"
    assert "out/folder/stale" not in outputs(project)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": "bad"}, "error: toy = 1: too small; write 2\n"),
        (
            {"source": "nothing"},
            "error: [Errno 2] No such file or directory: 'nothing'\n",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    project: Path, options: dict[str, str], message: str
):
    done = toy(project, **options)
    assert done.returncode == 1
    assert done.stderr == message
    assert not outputs(project) if (project / "out").exists() else True


def test_invalid_params_are_one_line(project: Path):
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("device:", "devise:"))
    done = toy(project)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml: devise: unknown key; did you mean `device`")
    assert done.stderr.count("\n") == 1


def test_a_bug_of_ours_keeps_its_traceback_and_leaves_nothing(project: Path):
    done = toy(project, run="bug")
    assert "Traceback" in done.stderr
    assert done.returncode == 1
    assert outputs(project) == []


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("memory", "error: toy: out of memory; end other programs and rerun `dvc repro`\n"),
        ("gpu", "error: toy: out of GPU memory; end other programs and rerun `dvc repro`\n"),
        (
            "full",
            "error: data/x: no space left on device; free some space on its disk and rerun"
            " `dvc repro`\n",
        ),
    ],
)
def test_too_little_of_something_is_one_line_and_leaves_nothing(
    project: Path, run: str, message: str
):
    done = toy(project, run)
    assert (done.returncode, done.stderr) == (1, message)
    assert outputs(project) == []


@pytest.mark.parametrize("stage", command.BATCHES)
def test_memory_that_is_not_enough_names_a_number_of_params(stage: str):
    section, key = command.BATCHES[stage].split(".")
    document = settings.load(ROOT / "params.yaml").model_dump()
    assert isinstance(document[section][key], int)
    said = command._more_memory(stage, torch.OutOfMemoryError("CUDA out of memory."))
    assert said == f"out of GPU memory; lower {section}.{key} and rerun `dvc repro`"


def started(project: Path, run: str, **environment: str) -> subprocess.Popen[str]:
    """Start the toy below a process that waits for it, and wait until it is at work."""
    parent = f"import subprocess, sys; sys.exit(subprocess.run({order(run)!r}).returncode)"
    process = subprocess.Popen(
        [sys.executable, "-c", parent],
        cwd=project,
        env={"PYTHONPATH": str(ROOT), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until((project / "pid").exists)
    return process


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def at_work(project: Path) -> bool:
    """Return whether the toy is alive; one that nobody has waited for yet is not."""
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{(project / 'pid').read_text()}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize("number", command.SIGNALS)
def test_a_signal_ends_a_stage_in_a_line_and_leaves_nothing(project: Path, number: signal.Signals):
    process = started(project, "slow")
    os.kill(int((project / "pid").read_text()), number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert said == "interrupted; `dvc repro` starts it again\n"
    assert outputs(project) == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
@pytest.mark.parametrize("run", ["slow", "deferring"])
def test_a_stage_ends_with_the_dvc_that_started_it(project: Path, run: str):
    process = started(project, run, DVC_STAGE="toy")
    process.kill()
    process.communicate()
    wait_until(lambda: not at_work(project), 5)
    assert (project / "saved").exists() == (run == "deferring")


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_a_stage_that_someone_else_started_goes_on(project: Path):
    process = started(project, "slow")
    process.kill()
    time.sleep(0.3)
    assert at_work(project)
    os.kill(int((project / "pid").read_text()), signal.SIGKILL)
    process.communicate()
