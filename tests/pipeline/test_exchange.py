"""What travels between two clones: code is checked, files are whole, lock entries are DVC's."""

import json
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from toy import ROOT, environment, make_toy, toy_dvc

from pipeline import exchange, graph
from stages.support import code


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two clones; the first has run up to evaluate@r01."""
    home = tmp_path_factory.mktemp("exchange")
    env = environment(home)
    first = make_toy(home / "first", env)
    shutil.copytree(first, home / "second")
    toy_dvc(first, env, "repro", "evaluate@r01")
    return first, home / "second"


def test_an_adopted_entry_is_the_entry_that_dvc_wrote(clones: tuple[Path, Path]):
    first, second = clones
    for name in ("encode", "train@r01", "evaluate@r01"):
        exchange.adopt(second, name, exchange.entry(first, name))
    assert (second / "dvc.lock").read_bytes() == (first / "dvc.lock").read_bytes()


def test_an_order_carries_what_no_cache_does(clones: tuple[Path, Path]):
    first, second = clones
    stages = graph.read(first)
    everything = [path for stage in stages.values() for path in stage.loose]
    told = exchange.order(first, stages["evaluate@r01"], everything, "run")
    assert told.inputs == ["data/r01/weights"]
    assert set(told.files) == {"dvc.lock", "params.yaml"}
    assert set(told.sources) == {"dvc.yaml", "work.py"}
    exchange.check(second, told)
    settled = exchange.order(first, None, ["data/metrics/r01.json"], "run")
    exchange.unpack(second, settled.files, settled.gone)
    for name in ("dvc.lock", "data/metrics/r01.json"):
        assert (second / name).read_bytes() == (first / name).read_bytes()


def test_other_code_is_refused(clones: tuple[Path, Path], tmp_path: Path):
    first, _ = clones
    told = exchange.order(first, graph.read(first)["encode"], [], "run")
    shutil.copytree(first, tmp_path / "third")
    (tmp_path / "third" / "work.py").write_text("pass")
    with pytest.raises(ValueError, match=r"work\.py differs from .*git pull"):
        exchange.check(tmp_path / "third", told)
    (tmp_path / "third" / "work.py").unlink()
    with pytest.raises(ValueError, match=r"work\.py is missing"):
        exchange.check(tmp_path / "third", told)


def test_code_is_told_by_its_manifest(tmp_path: Path):
    for name in ("lirf", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name)
    manifest = code.manifest("merge", tmp_path)
    (tmp_path / code.MANIFESTS).mkdir(parents=True)
    (tmp_path / code.MANIFESTS / "merge.json").write_text(json.dumps(manifest))
    stage = graph.read(ROOT)["merge@r01"]
    told = exchange.order(tmp_path, stage, [], "run")
    assert told.code == manifest
    assert "data/code/merge.json" in told.inputs
    with (tmp_path / "lirf" / "store" / "banks.py").open("a") as file:
        file.write("# a comment\n")
    exchange.check(tmp_path, told)
    with (tmp_path / "lirf" / "store" / "banks.py").open("a") as file:
        file.write("EDITED = True\n")
    with pytest.raises(ValueError, match=r"lirf/store/banks\.py differs from .*git pull"):
        exchange.check(tmp_path, told)


def test_a_file_cannot_leave_the_repository(tmp_path: Path):
    with pytest.raises(ValueError, match="outside"):
        exchange.unpack(tmp_path / "clone", {"../x": ""})


def test_no_file_outside_of_the_repository_is_removed(tmp_path: Path):
    (tmp_path / "clone").mkdir()
    (tmp_path / "x").touch()
    with pytest.raises(ValueError, match="outside"):
        exchange.unpack(tmp_path / "clone", {}, ["params.yaml", "../x"])
    assert (tmp_path / "x").exists()


def test_a_large_uncached_output_is_refused(tmp_path: Path):
    (tmp_path / "big").write_bytes(bytes(exchange.LARGEST + 1))
    with pytest.raises(ValueError, match="let DVC cache it"):
        exchange.pack(tmp_path / "big")


def test_settling_brings_what_fits(tmp_path: Path):
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "samples.png").write_bytes(bytes(exchange.LARGEST))
    told = exchange.order(tmp_path, None, ["samples.png", "metrics.json", "none.json"], "run")
    assert set(told.files) == {"metrics.json"}
    assert set(told.gone) == {"dvc.lock", "params.yaml"}


def test_a_clone_has_one_name(tmp_path: Path):
    assert exchange.clone(tmp_path) == exchange.clone(tmp_path / ".")
    assert exchange.clone(tmp_path) != exchange.clone(tmp_path / "other")


def test_a_lock_keeps_its_other_entries(tmp_path: Path):
    toy = make_toy(tmp_path / "toy", environment(tmp_path))
    exchange.adopt(toy, "a", '{"cmd": "ls"}')
    exchange.adopt(toy, "b", '{"cmd": "cd"}')
    found = YAML(typ="safe").load(toy / "dvc.lock")
    assert found == {"schema": "2.0", "stages": {"a": {"cmd": "ls"}, "b": {"cmd": "cd"}}}
