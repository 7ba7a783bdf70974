"""Where a run is, as a person reads it."""

import time
from pathlib import Path

import pytest
from tiny import make_project

from stages.telling import standing
from stages.telling.standing import Standing


@pytest.mark.parametrize(
    ("left", "whole", "said"),
    [
        (14 * 60, 41 * 60, "14 min left of 41"),
        (20, 41 * 60, "<1 min left of 41"),
        (0, 41 * 60, "0 min left of 41"),
        (42, 80, "42 s left of 80"),
        (80, 100, "1 min left of 2"),
        (1.24 * 3600, 4.4 * 3600, "1.2 h left of 4.4"),
        (89, None, "89 s left"),
        (91, None, "2 min left"),
        (7200, None, "2.0 h left"),
    ],
)
def test_a_time_is_told_in_the_unit_of_the_whole(left: float, whole: float | None, said: str):
    assert standing.remaining(left, whole) == said


def test_a_line_has_the_stage_its_parts_and_the_time_of_the_run():
    begun = time.time() - 27 * 60
    where = Standing("train@r02", 7, 38, own=120.0, rest=12 * 60.0, begun=begun)
    assert where.line() == "stage 7 of 38 · train r02 · 14 min left of 41"
    assert where.line(["61%", "loss 0.42"], left=420.0) == (
        "stage 7 of 38 · train r02 · 61% · loss 0.42 · 19 min left of 46"
    )


def test_without_a_pace_a_line_tells_of_its_stage_alone():
    where = Standing("train@r02", 7, 38, own=None, rest=None, begun=time.time())
    assert where.line() == "stage 7 of 38 · train r02"
    assert where.line(["61%"], 60.0) == "stage 7 of 38 · train r02 · 61% · 60 s left in this stage"


def test_here_counts_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(make_project(tmp_path / "tiny"))
    monkeypatch.setenv("DVC_STAGE", "code")
    where = standing.here(None)
    assert where is not None
    assert (where.number, where.total, where.own) == (1, 24, None)


@pytest.mark.parametrize("stage", ["", "pipeline/studies/dvc.yaml:spiral"])
def test_elsewhere_there_is_nothing_to_tell(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(make_project(tmp_path / "tiny"))
    monkeypatch.setenv("DVC_STAGE", stage)
    assert standing.here(None) is None


@pytest.mark.parametrize("text", ["", "stages: [", "stages: {a: {cmd: 'x ${none.there}'}}", "- 1"])
def test_what_is_shown_ends_no_stage(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "dvc.yaml").write_text(text)
    (tmp_path / "params.yaml").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "a")
    assert standing.here(None) is None


GRAPH = {"code": set[str](), "train@r01": {"code"}, "train@r02": {"train@r01"}, "page": {"code"}}


@pytest.mark.parametrize(
    ("command", "about"),
    [
        ("dvc repro", set(GRAPH)),
        ("dvc repro train@r01", {"code", "train@r01"}),
        ("dvc repro -s train@r01", {"train@r01"}),
        ("dvc repro --single-item code train@r02", {"code", "train@r02"}),
        ("dvc exp run -S train.batch=8 train", {"code", "train@r01", "train@r02"}),
    ],
)
def test_a_command_is_about_what_it_names_or_all(command: str, about: set[str]):
    assert standing.about(command.split(), GRAPH) == about
