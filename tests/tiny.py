"""A tiny real project: the graph and code of this one, other images, small numbers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
DVC = [sys.executable, "-m", "dvc"]
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
        "r01": {"role": "loop", "after": "r00", "steps": 6, "cooldown": 0},
        "final": {"role": "loop", "after": "r01", "steps": 6, "cooldown": 0},
        "baseline": {
            "role": "baseline",
            "after": "r00",
            "steps": 12,
            "cooldown": 0,
            "same_steps_as": "loop",
        },
    },
}


def make_project(folder: Path, changes: dict[str, dict[str, Any]] = TINY) -> Path:
    """Make a DVC repository of the project's own files with `changes` and other images."""
    for name in ("lirf", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    photos(folder / "photos" / "train", count=12, seed=0)
    photos(folder / "photos" / "heldout", count=9, seed=1)
    edit(folder, changes)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run([*DVC, "init", "--quiet"], cwd=folder, check=True)
    for key in ("analytics", "autostage"):
        subprocess.run([*DVC, "config", f"core.{key}", "false"], cwd=folder, check=True)
    return folder


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


def environment(own: Path) -> dict[str, str]:
    """Return the environment of a user who has this Python first, and DVC's own files in `own`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    keep = {"DVC_SITE_CACHE_DIR": str(own), "DVC_GLOBAL_CONFIG_DIR": str(own)}
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **keep}


def hashes(project: Path) -> dict[str, str]:
    """Return the hash of every output in dvc.lock by its path.

    DVC does not write that file at one stroke: a kill can leave a stage there without its outputs.
    """
    stages = YAML(typ="safe").load(project / "dvc.lock")["stages"]
    return {out["path"]: out["md5"] for one in stages.values() for out in one.get("outs", ())}
