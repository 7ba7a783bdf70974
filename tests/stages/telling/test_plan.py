"""What is left to run, as it is told, beside what DVC itself says."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tiny import DVC, edit, environment, make_project

from pipeline import graph
from stages.telling import plan

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_project(tmp_path / "tiny")
    monkeypatch.chdir(made)
    return made


def below(stages: dict[str, graph.Stage], changed: set[str]) -> set[str]:
    found = set(changed)
    for name, stage in stages.items():
        if stage.needs & found:
            found.add(name)
    return found


def test_stages_and_what_they_wait_for_are_those_of_dvc(project: Path):
    known = graph.read(project)
    needs = plan.needs(plan.read())
    assert needs == {name: set(stage.needs) for name, stage in known.items()}
    names = list(needs)
    assert all(names.index(need) < names.index(name) for name in names for need in needs[name])


def test_commands_outputs_and_keys_are_filled_in(project: Path):
    stages = plan.read()
    train = stages["train@r01"]
    assert train.command.split()[:5] == ["python", "-m", "stages.train", "--run", "r01"]
    assert train.outs == ("data/r01/weights", "data/plots/r01/loss.tsv")
    assert train.params == {"params.yaml": ("train", "initialize.seed", "models.r01")}
    assert "photos" in stages["prepare"].deps
    assert "data/r01/bank" in stages["page"].deps


def test_other_numbers_than_those_of_the_file_can_be_meant(project: Path):
    stages = plan.read({"prepare": {"images": "elsewhere"}, "rounds": {}, "models": {
        "final": {"after": "r00"}}})  # fmt: skip
    assert "elsewhere" in stages["prepare"].deps
    assert [name for name in stages if name.startswith("train@")] == ["train@final"]


def test_all_is_left_before_anything_ran(project: Path):
    stages = plan.read()
    assert plan.left(stages, plan.needs(stages)) == set(stages)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of which the first stages have run."""
    made = make_project(tmp_path_factory.mktemp("plan") / "tiny")
    subprocess.run(
        [*DVC, "repro", "encode", "--quiet"],
        cwd=made,
        env=environment(made.with_name("dvc")),
        check=True,
    )
    return made


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        lambda project: edit(project, {"encode": {"batch": 5}}),
        lambda project: edit(project, {"autoencoder": {"seed": 7}}),
        lambda project: edit(project, {"page": {"margin": 0.5}}),
        lambda project: shutil.rmtree(project / "data" / "images"),
    ],
    ids=["nothing", "encode", "autoencoder", "page", "output"],
)
def test_what_is_left_after_an_edit_is_what_dvc_would_run(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change
):
    project = shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(project)
    change(project)
    stages = plan.read()
    told = plan.left(stages, plan.needs(stages))
    assert told == below(graph.read(project), graph.changed(project))
    assert told < set(stages)


def test_the_graph_that_ships_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    needs = plan.needs(plan.read())
    assert plan.upstream(["train@r01"], needs) == {
        *("code", "unpack@digits", "prepare", "autoencoder", "encode", "initialize", "train@r01"),
    }
