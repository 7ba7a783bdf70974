"""The workflow as a user meets it: a real DVC repository, a folder of images, real commands."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from lirf import store

ROOT = Path(__file__).parents[1]
TINY: dict[str, dict[str, Any]] = {
    "prepare": {"images": "photos", "resolution": 8},
    "autoencoder": {"widths": [8, 8], "steps": 20, "batch": 8, "manifold_neighbours": 2},
    "initialize": {
        "network": {"kind": "transformer", "patch": 2, "width": 16, "depth": 1, "heads": 2}
    },
    "train": {"batch": 8},
    "sample": {"ratio": 2, "solver": "euler", "steps": 4},
    "admit": {"rule": "spacing", "spacing": 1000.0, "novelty": 0.0},
    "evaluate": {"samples": 70, "neighbours": 3},
    "rounds": {"r01": {"after": "r00", "lambda": 0.8}},
    "models": {
        "r01": {"after": "r00", "steps": 6},
        "final": {"after": "r01", "steps": 6},
        "baseline": {"after": "r00", "steps": 12},
    },
}

Run = Callable[..., subprocess.CompletedProcess[str]]


def photos(folder: Path, count: int, seed: int) -> None:
    """Write images of soft blobs: smooth, and different from one another."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:16, 0:16] / 15
    for index in range(count):
        centre_y, centre_x, width = generator.uniform([0.2, 0.2, 0.1], [0.8, 0.8, 0.4])
        blob = np.exp(-((y - centre_y) ** 2 + (x - centre_x) ** 2) / width**2)
        Image.fromarray((255 * blob).astype(np.uint8)).save(folder / f"{index:03d}.png")


def edit(project: Path, changes: dict[str, dict[str, Any]]) -> None:
    """Change sections of params.yaml; `rounds` and `models` are replaced whole."""
    path = project / "params.yaml"
    document = YAML(typ="safe").load(path)
    for section, values in changes.items():
        whole = section in {"rounds", "models"}
        document[section] = values if whole else {**document[section], **values}
    YAML().dump(document, path)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a DVC repository of the project's own files with tiny params and other images."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("lirf", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    photos(folder / "photos" / "train", count=12, seed=0)
    photos(folder / "photos" / "heldout", count=9, seed=1)
    edit(folder, TINY)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--quiet"], cwd=folder, check=True)
    subprocess.run([*dvc, "config", "core.analytics", "false"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def dvc(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a DVC command in the project as a user would."""
    elsewhere = str(tmp_path_factory.mktemp("dvc"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "DVC_SITE_CACHE_DIR": elsewhere, "DVC_GLOBAL_CONFIG_DIR": elsewhere}

    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=project,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def ran(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Return the stages that a `dvc repro` ran."""
    return set(re.findall(r"^Running stage '(.+)':$", done.stdout, flags=re.MULTILINE))


VERBS = ("train", "evaluate", "diagnose")  # what is done with every model


@pytest.fixture(scope="module")
def first(dvc: Run) -> subprocess.CompletedProcess[str]:
    return dvc("repro", "report")


def test_one_command_runs_every_stage_from_images_to_report(
    first: subprocess.CompletedProcess[str], project: Path
):
    rounds = {f"{verb}@r01" for verb in ("train", "sample", "correct", "admit", "merge")}
    models = {f"{verb}@{m}" for verb in VERBS for m in ("final", "baseline")}
    once = {"prepare", "autoencoder", "encode", "initialize", "report"}
    once |= {"evaluate@r01", "diagnose@r01"}
    assert ran(first) == rounds | models | once
    assert "baseline" in (project / "data" / "report" / "table.md").read_text()


@pytest.mark.usefixtures("first")
def test_every_admitted_latent_descends_from_real_images(project: Path):
    bank = store.read_bank(project / "data" / "r01" / "bank")
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


@pytest.mark.usefixtures("first")
def test_dvc_shows_metrics_and_plots(dvc: Run, project: Path):
    assert "copies" in dvc("metrics", "show").stdout
    dvc("plots", "show", "--out", "plots_html")
    assert (project / "plots_html" / "index.html").exists()


@pytest.mark.usefixtures("first")
def test_a_second_run_does_nothing(dvc: Run):
    done = dvc("repro", "report")
    assert ran(done) == set()
    assert "up to date" in done.stdout


@pytest.mark.usefixtures("first")
def test_an_edit_of_evaluate_retrains_nothing(dvc: Run, project: Path):
    edit(project, {"evaluate": {"neighbours": 4}})
    models = ("r01", "final", "baseline")
    assert ran(dvc("repro", "report")) == {"report", *(f"evaluate@{model}" for model in models)}


@pytest.mark.usefixtures("first")
def test_an_edit_of_admit_reruns_what_follows_and_nothing_before(dvc: Run, project: Path):
    edit(project, {"admit": {"novelty": 1e6}})
    done = dvc("repro", "report")
    final = {f"{verb}@final" for verb in VERBS}
    assert ran(done) == {"admit@r01", "merge@r01", "report", *final}
    assert "warning: r01: none of 24 candidates is admitted" in done.stderr
    # Nothing was admitted, so the loop is its baseline, to the byte.
    lock = YAML(typ="safe").load(project / "dvc.lock")["stages"]
    weights = {run: lock[f"train@{run}"]["outs"][0]["md5"] for run in ("final", "baseline")}
    assert weights["final"] == weights["baseline"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prepare": {"images": "nowhere"}}, "nowhere"),
        ({"prepare": {"on_bad_image": "maybe"}}, "prepare.on_bad_image = 'maybe'"),
    ],
)
@pytest.mark.usefixtures("first")
def test_a_mistake_fails_with_its_name(
    dvc: Run, project: Path, changes: dict[str, dict[str, Any]], message: str
):
    before = (project / "params.yaml").read_text()
    try:
        edit(project, changes)
        done = dvc("repro", "report", check=False)
    finally:
        (project / "params.yaml").write_text(before)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
