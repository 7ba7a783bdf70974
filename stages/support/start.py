"""Start a project: look at a folder of images, write `params.yaml` for it, say what will happen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from lirf.images import bundled, holdout
from lirf.images.survey import Survey, survey
from lirf.params import Params, recipes
from lirf.params.recipes import Recipe
from lirf.store import files
from stages.support import checks
from stages.support.checks import Counts, Sizes
from stages.telling import estimate, pace

PARAMS = Path("params.yaml")
BUNDLED = {f"data/{name}": images for name, images in bundled.DATASETS.items()}
"""Folders that the workflow itself makes."""

SECONDS = 5.0
"""That images are decoded for."""

SHOWN = 5
"""Lines of a kind."""

RECIPES = {256: "photo256", 128: "photo128", 64: "photo64", 32: "small", 8: "digits"}
"""The least short side in px that a recipe is for, largest first."""

LARGEST_ON_CPU = 64

LOUD = 4
"""As many times larger than they are trained on images are when it is said loudly."""


@dataclass(frozen=True)
class Wanted:
    """What the user asks for: a folder, and a recipe and a resolution where he names them."""

    images: Path
    recipe: str | None
    resolution: int | None
    dry_run: bool


@dataclass(frozen=True)
class Found:
    """What there is: images by split, their short sides in px, whether all are grey; the rest."""

    train: int
    heldout: int
    sides: tuple[int, int]
    grey: bool
    survey: Survey | None  # None of images that the workflow itself unpacks


def init(wanted: Wanted) -> Iterator[str]:
    """Write a recipe for a folder into the `params.yaml` of the current folder; tell of it.

    Yields what to tell: what is in the folder, which recipe and why, what will be trained on, how
    long it takes here, and what to do next.

    Raises:
        ValueError: one line: there is no such recipe, no image, or the numbers do not fit; nothing
            is written then.
    """
    imported = time.process_time()  # as a stage does, before it does anything
    found = _find(wanted.images)
    yield from _contents(wanted.images, found)
    name, why = _choose(wanted, found)
    recipe = _suited(recipes.load(Path(), name), wanted, found)
    params = recipes.numbers(PARAMS, name, recipe, wanted.images.as_posix())
    train, heldout = _split(params, found)
    sizes = checks.sizes(params)
    checks.require_weights(params)
    known = Counts(train, heldout, 0, 0)
    checks.require_images(wanted.images, params, known)
    checks.require_room(params, sizes, train, Path())
    text = recipes.rewrite(PARAMS, name, recipe, wanted.images.as_posix())
    yield f"recipe {name}, for {recipe.suits}{why}"
    yield from _plan(params, sizes, found, train, heldout)
    yield from checks.few_heldout(params, known)
    taken = estimate.estimate(params, sizes, train, heldout, imported)
    yield estimate.tell(taken)
    if wanted.dry_run:
        yield f"{PARAMS}: left as it is, as you asked with --dry-run"
        return
    partial = PARAMS.with_name(f".{PARAMS.name}.partial")
    with files.writing(PARAMS):
        partial.write_text(text, encoding="utf-8")
        partial.replace(PARAMS)
    pace.write(taken.pace)
    yield f"{PARAMS}: written; next: `uv run dvc repro`"


def _find(images: Path) -> Found:
    """Look at the folder, or at what the workflow will unpack there."""
    if images.as_posix() in BUNDLED:
        named = BUNDLED[images.as_posix()]()
        splits = [split for _, split, _ in named]
        shorts = [min(pixels.shape[:2]) for *_, pixels in named]
        grey = all(pixels.ndim == 2 for *_, pixels in named)
        sides = min(shorts), max(shorts)
        return Found(splits.count("train"), splits.count("heldout"), sides, grey, None)
    seen = survey(images, SECONDS)
    if not seen.images:
        raise ValueError(f"{seen.bad[0]}; no image in {images} can be read")
    return Found(seen.count("train"), seen.count("heldout"), seen.sides, seen.grey, seen)


def _contents(images: Path, found: Found) -> Iterator[str]:
    """Say what is in the folder, and what is wrong there."""
    low, high = found.sides
    span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    colour = "grey" if found.grey else "colour"
    yield (
        f"{images}: {found.train + found.heldout:,} images, {colour}, short sides of {span} px;"
        f" {found.heldout:,} in folders of held-out ones"
    )
    seen = found.survey
    if seen is None:
        return
    if len(seen.classes) > 1:
        parts = [f"{name} {count:,}" for name, count in seen.classes.items()]
        more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
        yield f"folders to train on, as one kind: {', '.join(parts[:SHOWN])}{more}"
    if seen.others.ignored:
        yield f"{seen.others.ignored:,} files are not images"
    if seen.others.debris:
        yield f"not looked into: {', '.join(sorted(seen.others.debris))}"
    yield from (f"warning: {line}" for line in seen.others.lines())
    if seen.whole < len(seen.images):
        yield f"{seen.whole:,} of the images were looked at whole, of the others the headers"
    yield from _some("cannot be read", seen.bad, len(seen.bad))
    yield from _some("nearly the same image", [f"{a} and {b}" for a, b in seen.pairs], seen.near)


def _some(what: str, lines: list[str], count: int) -> Iterator[str]:
    """Name the first of what is wrong, and how many there are."""
    for line in lines[:SHOWN]:
        yield f"warning: {what}: {line}"
    if count > SHOWN:
        yield f"warning: {what}: {count - SHOWN:,} more"


def _choose(wanted: Wanted, found: Found) -> tuple[str, str]:
    """Return the recipe, and why that one where the user named none.

    Raises:
        ValueError: the images are too small for any.
    """
    if wanted.recipe is not None:
        return wanted.recipe, ""
    smallest, gpu = found.sides[0], torch.cuda.is_available()
    fits = wanted.resolution or min(smallest, smallest if gpu else LARGEST_ON_CPU)
    name = next((name for least, name in RECIPES.items() if fits >= least), None)
    if name is None:
        raise ValueError(f"{wanted.images}: short sides of {smallest} px; at least 8 are needed")
    if wanted.resolution:
        return name, f" (for --resolution {wanted.resolution})"
    limit = "" if gpu or smallest < 2 * LARGEST_ON_CPU else " and there is no GPU"
    return name, f" (the smallest image has {smallest:,} px{limit})"


def _suited(recipe: Recipe, wanted: Wanted, found: Found) -> Recipe:
    """Return the recipe for images of that colour, and of the resolution that is asked for."""
    changes: dict[str, object] = {"prepare.colour": "grey" if found.grey else "rgb"}
    if wanted.resolution:
        changes["prepare.resolution"] = wanted.resolution
    return recipe.model_copy(update={"params": {**recipe.params, **changes}})


def _split(params: Params, found: Found) -> tuple[int, int]:
    """Return how many images will be trained on, and how many held out."""
    if found.heldout or not params.prepare.holdout:
        return found.train, found.heldout
    drawn = holdout.count(found.train, params.prepare.holdout)
    return found.train - drawn, drawn


def _plan(params: Params, sizes: Sizes, found: Found, train: int, heldout: int) -> Iterator[str]:
    """Say what will be trained, on what."""
    prepare, low = params.prepare, found.sides[0]
    mirrored = ", also mirrored" if prepare.flip else ""
    drawn = f", drawn by prepare.holdout = {prepare.holdout:g}"
    yield (
        f"train on {train:,} images{mirrored}, at {prepare.resolution} px; hold {heldout:,} out"
        f"{'' if found.heldout or not heldout else drawn}"
    )
    if low >= LOUD * prepare.resolution:
        larger = next((name for side, name in reversed(RECIPES.items()) if side > prepare.resolution
                       and side <= low), None)  # fmt: skip
        remedy = f"; --recipe {larger} makes larger ones and takes longer" if larger else ""
        yield (
            f"WARNING: what is drawn will have {prepare.resolution} px, your images have at least"
            f" {low:,}{remedy}"
        )
    steps = sum(params.models[name].steps for name in params.loop)
    others = sum(params.models[name].steps for name in params.baselines)
    yield (
        f"latents {' x '.join(map(str, sizes.latent))}, {params.initialize.network.kind} of"
        f" {sizes.weights / 1e6:.1f} million weights, {steps:,} steps,"
        f" {others:,} more of the baseline"
    )
