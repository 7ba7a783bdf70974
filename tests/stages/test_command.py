"""The runner: whole outputs or none, and one line for a mistake of the user's."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STAGE = """
from pathlib import Path
from lirf.params import Params
from stages import command

def toy(params: Params, run: str, source: Path, result: command.Out, folder: command.Out) -> None:
    "Copy a file."
    folder.mkdir()
    (folder / "part").write_text("half")
    result.write_text(source.read_text() + run + params.device)
    if run == "bad":
        raise ValueError("toy = 1: too small;\\n  write 2")
    if run == "bug":
        raise RuntimeError("ours")

if __name__ == "__main__":
    command.run(toy)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "toy.py").write_text(STAGE)
    (tmp_path / "source").write_text("text ")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def toy(
    project: Path, run: str = "r01", source: str = "source"
) -> subprocess.CompletedProcess[str]:
    options = {"run": run, "source": source, "result": "out/result", "folder": "out/folder"}
    return subprocess.run(
        [sys.executable, "toy.py", *(f"--{key}={value}" for key, value in options.items())],
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
