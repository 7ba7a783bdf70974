"""One stage in a process of its own: what became of it, in its own words."""

import asyncio
import json
from pathlib import Path

import pytest
from toy import environment, make_toy

from pipeline import stage
from pipeline.stage import End, Outcome, Place, Progress


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for key, value in environment(tmp_path).items():
        monkeypatch.setenv(key, value)
    return make_toy(tmp_path / "toy", environment(tmp_path))


def reproduce(
    toy: Path, name: str, heard: list[str | Progress] | None = None, *, force: bool = False
) -> Outcome:
    async def listen(line: str | Progress) -> None:
        if heard is not None:
            heard.append(line)

    async def run() -> Outcome:
        return await stage.reproduce(name, Place(toy, asyncio.Event()), listen, force)

    return asyncio.run(run())


def test_a_stage_runs_then_is_unchanged_then_comes_from_the_run_cache(toy: Path):
    assert reproduce(toy, "encode").end is End.RAN
    assert reproduce(toy, "encode").end is End.UNCHANGED
    assert reproduce(toy, "encode", force=True).end is End.RAN
    (toy / "data" / "r00" / "bank").unlink()
    (toy / "dvc.lock").unlink()
    assert reproduce(toy, "encode").end is End.RESTORED


def test_lines_and_progress_arrive_apart(toy: Path):
    reproduce(toy, "encode")
    heard: list[str | Progress] = []
    assert reproduce(toy, "train@r01", heard).end is End.RAN
    assert "train@r01 begins" in heard
    assert heard.count(Progress(100, 100, "train r01", 0.0)) == 1
    assert not any("git add" in line for line in heard if isinstance(line, str))


def test_a_failure_shows_the_stages_own_last_lines(toy: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOY_FAIL", "encode")
    assert reproduce(toy, "encode") == Outcome(
        End.FAILED, "encode begins\nerror: toy.steps = 0: must be at least 1"
    )


def test_a_failure_of_dvc_itself_shows_dvcs(toy: Path):
    outcome = reproduce(toy, "train@r01")
    assert outcome.end is End.FAILED
    assert "data/r00/bank" in outcome.last


def test_a_stop_ends_the_stage_and_dvc_leaves_no_lock(toy: Path, monkeypatch: pytest.MonkeyPatch):
    reproduce(toy, "encode")
    monkeypatch.setenv("TOY_S", "60")

    async def run() -> Outcome:
        stop = asyncio.Event()

        async def listen(line: str | Progress) -> None:
            if isinstance(line, Progress):
                stop.set()

        return await asyncio.wait_for(stage.reproduce("train@r01", Place(toy, stop), listen), 20)

    assert asyncio.run(run()).end is End.STOPPED
    assert not (toy / "data" / "r01" / "weights").exists()
    monkeypatch.setenv("TOY_S", "0")
    assert reproduce(toy, "train@r01").end is End.RAN


def test_another_dvc_command_that_fails_says_why(toy: Path):
    with pytest.raises(ValueError, match=r"dvc push failed: [^$]*no remote"):
        asyncio.run(stage.dvc(Place(toy, asyncio.Event()), "push"))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('progress {"done": 1, "label": "train r01", "total": 4}', Progress(1, 4, "train r01")),
        ('progress {"done": 1}', None),
        ("progress is slow", None),
        ("steps 12", None),
    ],
)
def test_only_whole_progress_lines_count(line: str, found: Progress | None):
    assert stage.parse(line) == found


def test_a_stage_sees_its_gpu_and_not_prefects_variables(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "x")
    place = Place(Path(), asyncio.Event(), device="1")
    assert stage.environment(place)["CUDA_VISIBLE_DEVICES"] == "1"
    assert "PREFECT__FLOW_RUN_ID" not in stage.environment(place)
    assert json.dumps(stage.environment(place))


PAIR = """
stages:
  train:
    foreach: [r01, baseline]
    do:
      cmd: python work.py train@${item} '>data/${item}/weights' '>data/metrics/${item}.json'
      deps: [work.py]
      outs: ['data/${item}/weights']
      metrics: ['data/metrics/${item}.json': {cache: false}]
"""


def test_two_branches_at_once_never_fail_on_dvcs_locks(toy: Path):
    (toy / "dvc.yaml").write_text(PAIR)

    async def listen(line: str | Progress) -> None: ...

    async def both() -> list[Outcome]:
        place = Place(toy, asyncio.Event())
        return await asyncio.gather(
            *(
                stage.reproduce(name, place, listen, force=True)
                for name in ("train@r01", "train@baseline")
            )
        )

    for number in range(20):
        assert [outcome.end for outcome in asyncio.run(both())] == [End.RAN] * 2, number
