"""What DVC's index says, read through DVC; overrides checked before anything is written."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML
from toy import environment, make_toy, toy_dvc

from lirf import params
from pipeline import graph


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("graph")
    return make_toy(home / "toy", environment(home), rounds=("r01", "r02"))


def test_order_rounds_and_resources_are_those_of_dvc(toy: Path):
    stages = graph.read(toy)
    names = list(stages)
    for stage in stages.values():
        assert all(names.index(need) < names.index(stage.name) for need in stage.needs)
    assert stages["train@r02"].needs == {"merge@r01"}
    assert stages["train@r02"].round == "r02"
    assert stages["train@r02"].resource == "gpu"
    assert stages["merge@r01"].resource == "cpu"
    assert stages["encode"].round == stages["encode"].resource == ""
    assert {stage.round for stage in stages.values()} == {"", "r01", "r02", "final", "baseline"}


def test_a_stage_knows_what_another_clone_needs(toy: Path):
    stages = graph.read(toy)
    assert stages["train@r02"].inputs == ("data/r01/bank",)
    assert stages["train@r02"].sources == ("work.py",)
    assert stages["evaluate@r01"].loose == ("data/metrics/r01.json",)
    assert set(stages["evaluate@r01"].plots) == {
        "data/plots/r01/grid.png",
        "data/plots/r01/nearest.png",
    }


def test_a_target_comes_with_or_without_what_it_needs(toy: Path):
    stages = graph.read(toy)
    assert set(graph.select(stages, "merge@r01", upstream=True)) == {
        "encode",
        "train@r01",
        "merge@r01",
    }
    assert set(graph.select(stages, "merge@r01", upstream=False)) == {"merge@r01"}
    assert graph.select(stages, "", upstream=True) == stages


def test_a_stage_of_another_file_runs_by_its_name_alone(tmp_path: Path):
    env = environment(tmp_path)
    toy = make_toy(tmp_path / "toy", env)
    (toy / "studies").mkdir()
    study = {"one": {"wdir": "..", "cmd": "echo 1 > studied", "outs": ["studied"]}}
    YAML().dump({"stages": study}, toy / "studies" / "dvc.yaml")
    stages, name = graph.read(toy), "studies/dvc.yaml:one"
    assert name in stages
    assert set(graph.select(stages, "", upstream=True)) == set(stages) - {name}
    assert set(graph.select(stages, name, upstream=True)) == {name}
    assert name in graph.changed(toy)
    toy_dvc(toy, env, "repro")
    assert not (toy / "studied").exists()
    toy_dvc(toy, env, "repro", name)
    assert (toy / "studied").exists()
    assert name not in graph.changed(toy)


@pytest.mark.parametrize(
    ("target", "upstream", "message"),
    [("train@r1", True, r"no such stage; did you mean train@r01\?"), ("", False, "needs a target")],
)
def test_a_wrong_target_is_refused(toy: Path, target: str, upstream: bool, message: str):
    with pytest.raises(ValueError, match=message):
        graph.select(graph.read(toy), target, upstream)


def test_overrides_are_written_in_dvcs_form_and_keep_the_rest(toy: Path):
    before = YAML(typ="safe").load(toy / "params.yaml")
    graph.override(
        toy, ["train.batch=32", "params.yaml:sample.solver=euler", "train.betas=[0.8,0.9]"]
    )
    after = YAML(typ="safe").load(toy / "params.yaml")
    before["train"] |= {"batch": 32, "betas": [0.8, 0.9]}
    before["sample"]["solver"] = "euler"
    assert after == before
    assert params.load(toy / "params.yaml").train.batch == 32


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.batch=0", r"params\.yaml: train\.batch = 0"),
        ("train.bach=3", "bach"),
        ("+train.bach=3", r"train\.bach: unknown key; did you mean `batch`"),
        ("train.batch", "train.batch"),
        ("rounds.r02.after=r00", r"rounds\.r02\.after = r00: must be r01"),
        ("other.yaml:x=1", "other.yaml"),
    ],
)
def test_bad_overrides_are_refused_and_change_nothing(toy: Path, override: str, message: str):
    before = (toy / "params.yaml").read_bytes()
    with pytest.raises(ValueError, match=message):
        graph.override(toy, ["train.batch=7", override])
    assert (toy / "params.yaml").read_bytes() == before


def test_a_folder_without_dvc_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="not inside of a DVC repository"):
        graph.read(tmp_path)


def test_a_broken_graph_is_refused_in_dvcs_words(tmp_path: Path):
    toy = make_toy(tmp_path / "toy", environment(tmp_path))
    (toy / "dvc.yaml").write_text("stages: {encode: {comd: ls}}")
    with pytest.raises(ValueError, match=r"dvc\.yaml' validation failed.*dvc status"):
        graph.read(toy)


def test_changed_is_what_dvc_says(tmp_path: Path):
    env = environment(tmp_path)
    toy = make_toy(tmp_path / "toy", env)
    assert graph.changed(toy) >= {"encode", "train@r01"}
    toy_dvc(toy, env, "repro", "train@r01")
    assert graph.changed(toy).isdisjoint({"encode", "train@r01"})
    graph.override(toy, ["train.batch=3"])
    assert "train@r01" in graph.changed(toy)
    assert "encode" not in graph.changed(toy)
