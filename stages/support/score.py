"""Judge a folder of images, by whatever they were made, as `evaluate` judges a model's samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from lirf.features import features as spaces
from lirf.images import decode, folder
from lirf.images.transforms import mirror
from lirf.measure import evaluation, table, verdict
from lirf.params import Prepare

SEES = 32
"""The least side in px at which a network of photographs sees more than pixels do."""

LEAST, LARGEST = 8, 512
"""Side in px: of samples at least, and at which larger ones are judged."""

DIGITS = 6

LIMIT = 0.05
"""The largest share of memorised samples that counts as new: that of the shipped `page`."""

MEGAPIXELS = 100.0


@dataclass(frozen=True)
class Wanted:
    """What the user asks for: three folders, and how to judge; None: what suits the samples."""

    samples: Path
    training: Path
    heldout: Path | None
    features: spaces.Name | None
    resolution: int | None
    neighbours: int


@dataclass(frozen=True)
class Images:
    """The images of a folder, uint8 [N, C, R, R], with the names and hashes of their files."""

    pixels: np.ndarray
    names: list[str]
    hashes: list[str]


def score(wanted: Wanted, device: torch.device) -> tuple[dict[str, Any], list[str]]:
    """Return every metric with its protocol, and warnings.

    All images are prepared as by `prepare`: the short side resized, the centre square kept, grey if
    all are grey. Held against are the training images as they are and mirrored: what made the
    samples has no autoencoder here.

    Raises:
        ValueError: one line: a folder or an image cannot be used, two folders are one that may
            not be, there are too few images, or they are too small.
    """
    if wanted.heldout is None:
        raise ValueError(
            "--heldout: not given, and without images that were not trained on the numbers mislead:"
            " copies of the training images would score best; name a folder of such images"
        )
    found = {
        "--samples": _files(wanted.samples, "--samples"),
        "--training": _files(wanted.training, "--training", trained=True),
        "--heldout": _files(wanted.heldout, "--heldout"),
    }
    for option, images in (("--samples", wanted.samples), ("--heldout", wanted.heldout)):
        if images.resolve() == wanted.training.resolve():
            raise ValueError(f"{option} {images}: the folder of --training; name another")
    least = wanted.neighbours + 1
    for option, files in found.items():
        if len(files) < least:
            raise ValueError(
                f"{option}: {len(files)} images, --neighbours {wanted.neighbours} needs at least"
                f" {least}; add images or lower it"
            )
    resolution = wanted.resolution or _side(found["--samples"])
    if resolution < LEAST:
        raise ValueError(
            f"{wanted.samples}: a side of {resolution} px; at least {LEAST} are needed"
        )
    _require_sides(found, resolution, own=wanted.resolution is None)
    name = wanted.features or ("imagenet" if resolution >= SEES else "pixels")
    space = spaces.of(name, device=device)
    prepare = Prepare(
        images=str(wanted.training),
        resolution=resolution,
        colour="rgb",
        flip=False,
        on_bad_image="fail",
        max_megapixels=MEGAPIXELS,
    )
    samples, training, heldout = _in_one_colour([_read(one, prepare) for one in found.values()])
    values, _ = evaluation.measure(
        samples.pixels,
        heldout.pixels,
        [training.pixels, mirror(training.pixels)],
        space,
        wanted.neighbours,
        heldout=True,
    )
    protocol = {
        "n_fake": len(samples.names),
        "n_train": len(training.names),
        "n_reference": len(heldout.names),
        "reference": "heldout",
        "features": space.name,
        "feature_hash": space.hash,
        "neighbours": wanted.neighbours,
        "resolution": resolution,
        "resize": "lanczos",
        "colour": "grey" if samples.pixels.shape[1] == 1 else "rgb",
    }
    rounded = {k: round(v, DIGITS) if isinstance(v, float) else v for k, v in values.items()}
    warnings = [
        *_same("held-out", heldout, training),
        *_same("sample", samples, training),
    ]
    return {**rounded, **protocol}, warnings


def lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield what to print: how it was judged, the numbers, and whether the samples are new."""
    yield (
        f"{document['n_fake']:,} samples, {document['n_train']:,} training images,"
        f" {document['n_reference']:,} held-out ones, at {document['resolution']} px in"
        f" {document['colour']}; features: {document['features']}, K = {document['neighbours']}"
    )
    controls = table.controls(document)
    rows = [("", "samples", "held-out")]
    for metric in table.MEASURED:
        value, control = document.get(metric.key), controls.get(metric.key)
        if value is not None:
            beside = "" if control is None else format(control, metric.form)
            rows.append((metric.head, format(value, metric.form), beside))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for head, value, control in rows:
        yield f"{head:<{widths[0]}}  {value:>{widths[1]}}  {control:>{widths[2]}}".rstrip()
    if (reason := document["frechet_reason"]) is not None:
        yield f"no Frechet distance: {reason}"
    answer = verdict.is_new(document, None, LIMIT)
    yield f"{answer.word}: {answer.sentence} {_good(document, new=answer.kind == 'good')}"


def _good(document: dict[str, Any], *, new: bool) -> str:
    """Return how good the samples are; better or worse would need a second set beside them."""
    caution = "" if new else "; memorising raises both"
    return (
        f"{100 * document['precision']:.0f} % of the samples look like held-out images (precision),"
        f" and {100 * document['coverage']:.0f} % of the held-out images have a sample near them"
        f" (coverage){caution}: whether that is good, the scores of another set tell."
    )


def _files(images: Path, option: str, *, trained: bool = False) -> list[folder.ImageFile]:
    """Return the images of a folder; where they were `trained` on, without held-out subfolders.

    Raises:
        ValueError: there is no such folder, or no image in it.
    """
    if not images.is_dir():
        raise ValueError(f"{images}: no such folder; {option} is a folder of images")
    try:
        found = folder.find(images)[0]
    except ValueError as error:
        raise ValueError(_by_option(str(error), option)) from None
    return [one for one in found if one.split == "train"] if trained else found


def _sizes(files: list[folder.ImageFile]) -> Iterator[tuple[folder.ImageFile, tuple[int, int]]]:
    """Yield files with their width and height in px by their headers, of those that have one."""
    for file in files:
        try:
            with Image.open(file.path) as image:
                yield file, image.size
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            continue  # told of when it is decoded


def _side(files: list[folder.ImageFile]) -> int:
    """Return the least side of some images in px, at most `LARGEST`."""
    return min([LARGEST, *(min(size) for _, size in _sizes(files))])


def _require_sides(found: dict[str, list[folder.ImageFile]], resolution: int, *, own: bool) -> None:
    """Refuse images smaller than `resolution` in px before any is decoded.

    `own` is whether that is the samples' own short side, which nobody asked for.
    """
    for option, files in found.items():
        for file, (width, height) in _sizes(files):
            # The first page of a TIFF may be a thumbnail: decoding finds the one that counts.
            if min(width, height) >= resolution or file.path.suffix.lower() in (".tif", ".tiff"):
                continue
            asked = "that of the samples" if own else f"as --resolution {resolution} asks"
            raise ValueError(
                f"{file.path}: {width}x{height} px, but the short side of {option} must have"
                f" {resolution}, {asked}; name a smaller --resolution"
            )


def _read(files: list[folder.ImageFile], prepare: Prepare) -> Images:
    """Decode images.

    Raises:
        ValueError: one cannot be decoded.
    """
    try:
        loaded = [decode.load(file.path, prepare) for file in files]
    except decode.BadImage as error:
        raise ValueError(f"{_by_option(str(error))}; fix or remove the file") from None
    return Images(
        np.stack([one.pixels for one in loaded]),
        [file.name for file in files],
        [one.sha256 for one in loaded],
    )


def _by_option(text: str, option: str = "") -> str:
    """Return a complaint of `prepare` in this command's words: here is no params.yaml to edit."""
    return (
        text.replace("set prepare.images to a folder of images", f"{option} is one that has some")
        .replace("prepare.resolution = ", "--resolution ")
        .replace(f"prepare.max_megapixels = {MEGAPIXELS:g}, which you may raise", f"{MEGAPIXELS:g}")
        .replace("prepare.max_megapixels = ", "megapixels: ")
    )


def _in_one_colour(all_: list[Images]) -> list[Images]:
    """Return the images in grey, [N, 1, R, R], if all are grey."""
    if any((one.pixels != one.pixels[:, :1]).any() for one in all_):
        return all_
    return [Images(one.pixels[:, :1], one.names, one.hashes) for one in all_]


def _same(kind: str, images: Images, training: Images) -> Iterator[str]:
    """Say how many files are also files of the training images, byte for byte."""
    known = dict(zip(training.hashes, training.names, strict=True))
    pairs = [(a, known[b]) for a, b in zip(images.names, images.hashes, strict=True) if b in known]
    if pairs:
        name, twin = pairs[0]
        yield f"warning: {len(pairs)} {kind} files are training images as well: {name} is {twin}"
