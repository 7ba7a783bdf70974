"""Start a project: write `params.yaml` for a folder of images, by a recipe."""

from __future__ import annotations

from pathlib import Path

from lirf.images import bundled, folder
from lirf.params import recipes
from lirf.store import files

PARAMS = Path("params.yaml")
BUNDLED = {f"data/{name}" for name in bundled.DATASETS}
"""Folders that the workflow itself makes."""


def init(images: Path, name: str) -> list[str]:
    """Write recipe `name` for the folder `images` into the `params.yaml` of the current folder.

    Returns what to tell: what the recipe is, what there is to train on, and what to do next.

    Raises:
        ValueError: one line: there is no such recipe, no image, or the numbers do not fit; nothing
            is written then.
    """
    recipe = recipes.load(Path(), name)
    text = recipes.rewrite(PARAMS, name, recipe, images.as_posix())
    found = "images that the workflow unpacks"
    if images.as_posix() not in BUNDLED:
        there, _ = folder.find(images)
        heldout = sum(file.split == "heldout" for file in there)
        found = f"{len(there) - heldout} images to train on, {heldout} held out"
    partial = PARAMS.with_name(f".{PARAMS.name}.partial")
    with files.writing(PARAMS):
        partial.write_text(text, encoding="utf-8")
        partial.replace(PARAMS)
    return [
        f"{PARAMS}: recipe {name}, for {recipe.suits}",
        f"{images}: {found}",
        f"time: {recipe.time}; memory: {recipe.memory}",
        "next: `uv run dvc repro`",
    ]
