"""The workflow as a user meets it: a real DVC repository, a folder of images, real commands."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lirf.store import banks

sys.path.insert(0, str(Path(__file__).parent))  # `tiny`: importlib mode adds no folder

import kill
from tiny import DVC, edit, environment, hashes, make_project

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a DVC repository of the project's own files with tiny params and other images."""
    return make_project(tmp_path_factory.mktemp("project") / "tiny")


def dvc(project: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a DVC command in a project as a user would."""
    done = subprocess.run(
        [*DVC, *arguments],
        cwd=project,
        env=environment(project.with_name("dvc")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def ran(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Return the stages that a `dvc repro` ran."""
    return set(re.findall(r"^Running stage '(.+)':$", done.stdout, flags=re.MULTILINE))


VERBS = ("train", "evaluate", "diagnose")  # what is done with every model


@pytest.fixture(scope="module")
def first(project: Path) -> subprocess.CompletedProcess[str]:
    return dvc(project, "repro", "report")


@pytest.fixture
def copy(project: Path, first: subprocess.CompletedProcess[str], tmp_path: Path) -> Path:
    """Return a copy of the finished project, which a test may edit."""
    return shutil.copytree(project, tmp_path / "copy")


def test_one_command_runs_every_stage_from_images_to_report(
    first: subprocess.CompletedProcess[str], project: Path
):
    rounds = {f"{verb}@r01" for verb in ("train", "sample", "correct", "admit", "merge")}
    models = {f"{verb}@{m}" for verb in VERBS for m in ("final", "baseline")}
    once = {"code", "prepare", "autoencoder", "encode", "initialize", "report"}
    once |= {"evaluate@r01", "diagnose@r01"}
    assert ran(first) == rounds | models | once
    assert "baseline" in (project / "data" / "report" / "table.md").read_text()


def test_a_run_says_how_long_it_takes_and_learns_how_long_it_took(
    first: subprocess.CompletedProcess[str], project: Path
):
    assert "until there are pictures" in first.stdout + first.stderr
    known = json.loads((project / ".scratch" / "pace.json").read_text())
    assert (known["train"], known["heldout"]) == (12, 9)
    assert {"train", "evaluate", "encode", "merge"} <= known["ratios"].keys()


@pytest.mark.usefixtures("first")
def test_every_admitted_latent_descends_from_real_images(project: Path):
    bank = banks.read(project / "data" / "r01" / "bank")
    rows = {row["id"]: row for row in bank.rows.to_pylist()}
    refined = [row for row in rows.values() if row["kind"] == "refined"]
    assert refined

    def ancestors(row: dict[str, Any]) -> set[str]:
        if row["kind"] == "real":
            return {row["source"]}
        assert sum(row["weights"]) == pytest.approx(1)
        return set[str]().union(*(ancestors(rows[parent]) for parent in row["parents"]))

    for row in refined:
        assert all((project / "photos" / source).is_file() for source in ancestors(row))


LOOP = {f"{verb}@r01" for verb in ("train", "sample", "correct", "admit", "merge")}


def forgetful(project: Path, copy: Path) -> Path:
    """Return a copy of a finished project in which the loop has yet to run."""
    stages = YAML(typ="safe").load(project / "dvc.lock")["stages"]
    kill.begin(project, copy, stages.keys() - LOOP)
    return copy


@pytest.mark.slow
@pytest.mark.usefixtures("first")
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(
    project: Path, tmp_path: Path
):
    tally, draw = kill.Tally(), random.Random(0)
    copy = forgetful(project, tmp_path / "killed")
    kill.campaign(copy, ("report",), hashes(project), 4, draw, 8, tally)
    assert tally.wrong == []
    assert tally.passes == 1
    assert tally.kills.total() > 0


@pytest.mark.usefixtures("first")
def test_a_scheduler_that_ends_a_run_loses_no_step(project: Path, tmp_path: Path):
    copy = forgetful(project, tmp_path / "scheduled")
    models = {"r01": ("r00", 10**6), "final": ("r01", 6), "baseline": ("r00", 10**6 + 6)}
    lines = {
        name: {
            "role": "baseline" if name == "baseline" else "loop",
            "after": after,
            "steps": steps,
            "cooldown": 0,
        }
        for name, (after, steps) in models.items()
    }
    edit(copy, {"models": lines, "train": {"checkpoint_every": 10**6}})
    taken = [0]
    for _ in range(2):
        log = tmp_path / f"{len(taken)}.log"
        with kill.running(copy, ("--single-item", "train@r01"), log) as process:
            while '"label": "train r01"' not in log.read_text():
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            os.killpg(process.pid, signal.SIGTERM)
            assert process.wait() != 0
            assert kill.survivors(process.pid, 30) == []
        told = re.search(r"interrupted after (\d+) of 1000000 steps; `dvc repro`", log.read_text())
        assert told, log.read_text()
        (kept,) = copy.glob(".scratch/train-r01/*/step-*")
        assert kept.name == f"step-{int(told[1]):09d}"
        taken.append(int(told[1]))
    assert 0 < taken[1] < taken[2]


@pytest.mark.usefixtures("first")
def test_of_two_runs_at_once_none_spoils_the_other(project: Path, tmp_path: Path):
    copy = forgetful(project, tmp_path / "shared")
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    with (
        kill.running(copy, ("merge@r01",), logs[0]) as one,
        kill.running(copy, ("merge@r01",), logs[1]) as two,
    ):
        codes = [one.wait(), two.wait()]
    assert 0 in codes
    for code, log in zip(codes, logs, strict=True):
        said = log.read_text()
        assert "Traceback" not in said
        assert code == 0 or "is busy" in said or "Unable to acquire lock" in said
    assert hashes(copy) == hashes(project)


@pytest.mark.usefixtures("first")
def test_two_clones_agree_to_the_byte(project: Path, tmp_path: Path):
    clone = make_project(tmp_path / "clone")
    with kill.running(clone, ("sample@r01",), tmp_path / "log") as process:
        assert process.wait() == 0
    found, expected = hashes(clone), hashes(project)
    assert "data/r01/candidates" in found
    assert found == {path: expected[path] for path in found}


@pytest.mark.usefixtures("first")
def test_damage_that_dvc_does_not_see_is_named_with_what_repairs_it(project: Path, tmp_path: Path):
    copy = forgetful(project, tmp_path / "damaged")
    damaged = copy / "data" / "r00" / "bank" / "r00" / "rows.parquet"
    own = environment(tmp_path / "dvc")
    subprocess.run([*DVC, "status", "-q"], cwd=copy, env=own, check=False)
    content, before = damaged.read_bytes(), damaged.stat()
    damaged.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    os.utime(damaged, ns=(before.st_atime_ns, before.st_mtime_ns))
    train = [*DVC, "repro", "--single-item", "train@r01"]
    refused = subprocess.run(train, cwd=copy, env=own, capture_output=True, text=True, check=False)
    named = "error: data/r00/bank/r00/rows.parquet: damaged (its checksum differs);"
    assert named in refused.stderr
    assert "`python -m pipeline.repair` restores it" in refused.stderr
    mend = [sys.executable, "-m", "pipeline.repair"]
    subprocess.run(mend, cwd=copy, env={**own, "PYTHONPATH": str(ROOT)}, check=True)
    assert damaged.read_bytes() == content
    subprocess.run(train, cwd=copy, env=own, check=True)
    assert hashes(copy)["data/r01/weights"] == hashes(project)["data/r01/weights"]


def test_dvc_shows_metrics_and_plots(copy: Path):
    assert "memorised" in dvc(copy, "metrics", "show").stdout
    dvc(copy, "plots", "show", "--out", "plots_html")
    assert (copy / "plots_html" / "index.html").exists()


@pytest.mark.usefixtures("first")
def test_a_second_run_does_nothing(project: Path):
    done = dvc(project, "repro", "report")
    assert ran(done) == set()
    assert "up to date" in done.stdout


def test_an_edit_of_code_reruns_what_imports_it_and_one_of_a_comment_nothing(copy: Path):
    edited = copy / "lirf" / "densify" / "farthest.py"  # the rules of `admit`
    before = edited.read_text()
    edited.write_text(f"# A comment.\n{before}")
    assert ran(dvc(copy, "repro", "report")) == {"code"}
    edited.write_text(f"{before}\nEDITED = True\n")
    # What it admits is the same: nothing after it runs.
    assert ran(dvc(copy, "repro", "report")) == {"code", "admit@r01"}
    edited.write_text(f"{before}\nEDITED = False\n")
    assert ran(dvc(copy, "repro", "--single-item", "admit@r01")) == set()  # by an old manifest
    forced = dvc(copy, "repro", "--single-item", "--force", "admit@r01")
    assert ran(forced) == {"admit@r01"}  # and brings it up to date
    assert ran(dvc(copy, "repro", "report")) == {"code"}


def test_an_edit_of_evaluate_retrains_nothing(copy: Path):
    edit(copy, {"evaluate": {"neighbours": 4}})
    models = ("r01", "final", "baseline")
    # `prepare` checks the number against the images, which stay as they are.
    assert ran(dvc(copy, "repro", "report")) == {
        "prepare", "report", *(f"evaluate@{model}" for model in models)
    }  # fmt: skip


def test_an_edit_of_admit_reruns_what_follows_and_nothing_before(copy: Path):
    edit(copy, {"admit": {"novelty": 1e6}})
    done = dvc(copy, "repro", "report")
    final = {f"{verb}@final" for verb in VERBS}
    assert ran(done) == {"admit@r01", "merge@r01", "report", *final}
    assert "warning: r01: none of 24 candidates is admitted" in done.stderr
    # Nothing was admitted, so the loop is its baseline, to the byte.
    lock = YAML(typ="safe").load(copy / "dvc.lock")["stages"]
    weights = {run: lock[f"train@{run}"]["outs"][0]["md5"] for run in ("final", "baseline")}
    assert weights["final"] == weights["baseline"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prepare": {"images": "nowhere"}}, "nowhere"),
        ({"prepare": {"on_bad_image": "maybe"}}, "prepare.on_bad_image = 'maybe'"),
    ],
)
def test_a_mistake_fails_with_its_name(
    copy: Path, changes: dict[str, dict[str, Any]], message: str
):
    edit(copy, changes)
    done = dvc(copy, "repro", "report", check=False)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
