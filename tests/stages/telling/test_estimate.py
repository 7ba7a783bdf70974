"""The estimate of a run, of few steps and of images that are made up."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny import make_project

from lirf import params
from stages.support import checks
from stages.telling import estimate, pace, plan


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_project(tmp_path / "tiny")
    monkeypatch.chdir(made)
    return made


def test_it_adds_up_what_the_stages_take(project: Path):
    numbers = params.load(Path("params.yaml"))
    found = estimate.estimate(numbers, checks.sizes(numbers), 12, 9, start=2.0)
    known = found.pace
    assert known.key == pace.key(numbers, 12, 9)
    stages = plan.needs(plan.read())
    assert found.whole == pytest.approx(sum(known.seconds(numbers, stages).values()))
    assert 2 * len(stages) <= found.whole
    first = plan.upstream(["evaluate@final"], stages)
    assert found.pictures == pytest.approx(sum(known.seconds(numbers, first).values()))
    assert 0 < found.pictures < found.whole
    assert found.memory > 1e8


def test_as_a_command_it_prints_one_line(project: Path):
    done = subprocess.run(
        [sys.executable, "-m", "stages.telling.estimate", "12", "9"],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("about ")
    assert pace.read() is not None
