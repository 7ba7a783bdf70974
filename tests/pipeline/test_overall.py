"""Where a run of the flow is, with stages side by side."""

from pathlib import Path

import pytest

from lirf import params
from pipeline import overall
from pipeline.graph import Stage
from pipeline.overall import Overall
from pipeline.stage import Progress
from stages.telling import pace
from stages.telling.pace import Costs, Pace

ROOT = Path(__file__).parents[2]
PARAMS = params.load(ROOT / "params.yaml")
COSTS = Costs(start=60.0, fit=0.0, view=0.0, encode=0.0, decode=0.0, see=0.0, step=1.0, call=0.0)


def make(name: str, *needs: str) -> Stage:
    return Stage(name, frozenset(needs), "", "", "", (), (), (), (), (), ())


STAGES = {
    one.name: one
    for one in (
        make("encode"),
        make("train@r01", "encode"),
        make("train@baseline", "encode"),
        make("merge@r01", "train@r01"),
    )
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_stages_are_counted_as_they_begin(here: Path):
    run = overall.of(STAGES, {"train@r01"}, here)
    assert run.left == {"train@r01", "merge@r01"}
    assert run.percent == 50.0
    assert run.line("train@r01") == "stage 3 of 4 · train r01"
    told = Progress(1, 4, "train r01", 30.0, "loss 0.42")
    assert run.line("train@r01", told) == (
        "stage 3 of 4 · train r01 · 25% · loss 0.42 · 30 s left in this stage"
    )
    run.end("train@r01")
    assert run.line("merge@r01") == "stage 4 of 4 · merge r01"
    run.end("merge@r01")
    assert (run.percent, run.done) == (100.0, "4 of 4 stages done")


def test_the_time_that_is_left_is_that_of_all_stages_but_what_is_done_of_them():
    pace.write(Pace("", COSTS, 10, 10))
    run = Overall(4, set(STAGES), PARAMS)
    steps = {name: line.steps for name, line in PARAMS.models.items()}
    assert (steps["r01"], steps["baseline"]) == (1200, 4800)
    whole = 4 * 60 + 6000
    assert run.line("encode") == f"stage 1 of 4 · encode · {whole / 3600:.1f} h left of 1.7"
    run.end("encode")
    run.line("train@baseline", Progress(1, 4, "train baseline", 1000.0))
    told = run.line("train@r01", Progress(0, 4, "train r01", None))
    rest = 60 + (60 + 1200) + (60 + 4800) * 3 / 4
    assert told == f"stage 3 of 4 · train r01 · 0% · {rest / 60:.0f} min left of {rest / 60:.0f}"
    assert 0 <= run.percent < 1
