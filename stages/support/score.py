"""Judge a folder of images, by whatever they were made, as `evaluate` judges a model's samples."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lirf.features import features as spaces
from lirf.features.features import Features
from lirf.images import decode, folder
from lirf.images.transforms import mirror
from lirf.measure import evaluation, standard, table
from lirf.measure.fidelity import fidelity
from lirf.measure.memorised import Memorised
from lirf.measure.nearest import mirrored
from lirf.params import Prepare
from lirf.report import cards, pictures
from lirf.report import page as pages
from lirf.report.cards import Measured
from lirf.report.page import Content, Neighbour, Sample

SEES = 32
"""The least side in px at which a network of photographs sees more than pixels do."""

LEAST, LARGEST = 8, 512
"""Side in px: of samples at least, and at which larger ones are judged."""

DIGITS = 6

LIMIT = 0.05
"""The largest share of memorised samples that counts as new: that of the shipped `page`."""

MEGAPIXELS = 100.0

SHOWN, NEAREST = 64, 12
"""Samples on the page: the first ones, and those nearest to training images."""

SIDE = 160
"""Of an image on the page at most, px."""

Sized = tuple[folder.ImageFile, tuple[int, int]]
"""A file with its width and height in px."""


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


@dataclass(frozen=True)
class Scored:
    """Every metric with its protocol, warnings, and what was judged."""

    document: dict[str, Any]
    warnings: list[str]
    folder: Path
    samples: Images
    training: Images
    memorised: Memorised


def score(wanted: Wanted, device: torch.device) -> Scored:
    """Judge the samples.

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
    headers = {option: list(_sizes(files)) for option, files in found.items()}
    sizes = {size for _, size in headers["--samples"]}
    resolution = wanted.resolution or min([LARGEST, *map(min, sizes)])
    if resolution < LEAST:
        raise ValueError(
            f"{wanted.samples}: a side of {resolution} px; at least {LEAST} are needed"
        )
    _require_sides(headers, resolution, own=wanted.resolution is None)
    name = wanted.features or ("imagenet" if resolution >= SEES else "pixels")
    space = _remembering(_features(name, device))
    prepare = Prepare(
        images=str(wanted.training),
        resolution=resolution,
        colour="rgb",
        flip=False,
        on_bad_image="fail",
        max_megapixels=MEGAPIXELS,
    )
    samples, training, heldout = _in_one_colour([_read(one, prepare) for one in found.values()])
    values, memorised = evaluation.measure(
        samples.pixels,
        heldout.pixels,
        [training.pixels, mirror(training.pixels)],
        space,
        wanted.neighbours,
        heldout=True,
    )
    values |= {
        "precision_training": fidelity(
            space.extract(training.pixels), space.extract(heldout.pixels), wanted.neighbours
        ).precision,
        "coverage_expected": standard.expected_coverage(
            len(samples.names), len(heldout.names), wanted.neighbours
        ),
    }
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
    said = [
        *_unequal(sizes, resolution),
        *_same("held-out", heldout, training),
        *_same("sample", samples, training),
    ]
    return Scored({**rounded, **protocol}, said, wanted.samples, samples, training, memorised)


def lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield what to print: how it was judged, the numbers, and whether the samples are new."""
    yield _protocol(document)
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
    found = standard.judge(document, LIMIT)
    for answer in (found.new, found.good):
        yield f"{answer.word}: {answer.sentence}"
    yield found.sentence


def page(scored: Scored) -> str:
    """Return the page: the verdict, the numbers, samples beside their nearest training images."""
    document, found = scored.document, standard.judge(scored.document, LIMIT)
    order_M = np.argsort(scored.memorised.ratio, kind="stable")
    names = scored.training.names
    first, nearest = (
        [_sample(scored, int(place)) for place in places]
        for places in (range(min(SHOWN, len(order_M))), order_M[:NEAREST])
    )
    needed = {near.id for one in (*first, *nearest) for near in one.nearest}
    content = Content(
        subject=f"{document['n_fake']:,} images of {scored.folder}",
        verdict=found,
        protocol=document,
        measured=Measured(("samples",), (), {"samples": document}, {}, {}, {}, {}),
        cards=cards.alone(document, found.judged, standard.standards(document)),
        samples={"samples": first},
        images={
            name: (pictures.data_uri(image_CHW, SIDE), name)
            for name, image_CHW in zip(names, scored.training.pixels, strict=True)
            if name in needed
        },
        descent=None,
        facts=[("Scores", dict(sorted(document.items())))],
        pixelated=document["resolution"] <= pictures.LOSSLESS,
        line=f"{_protocol(document)}.",
        nearest=nearest,
    )
    return pages.render(content)


def _sample(scored: Scored, place: int) -> Sample:
    """Return what the page shows of a sample."""
    found = scored.memorised
    near = zip(
        found.nearest[place], mirrored(found.version[place]), found.distance[place], strict=True
    )
    return Sample(
        pictures.data_uri(scored.samples.pixels[place], SIDE),
        scored.samples.names[place],
        round(float(found.ratio[place]), DIGITS),
        bool(found.memorised[place]),
        [
            Neighbour(scored.training.names[image], bool(flip), round(float(distance), DIGITS))
            for image, flip, distance in near
        ],
    )


def _protocol(document: Mapping[str, Any]) -> str:
    """Say in one line how the samples were judged."""
    return (
        f"{document['n_fake']:,} samples, {document['n_train']:,} training images,"
        f" {document['n_reference']:,} held-out ones, at {document['resolution']} px in"
        f" {document['colour']}; features: {document['features']}, K = {document['neighbours']}"
    )


def _features(name: spaces.Name, device: torch.device) -> Features:
    """Return the features called `name`.

    Raises:
        ValueError: their weights are missing.
    """
    try:
        return spaces.of(name, device=device)
    except ValueError as error:
        raise ValueError(str(error).replace("evaluate.features = ", "--features ")) from None


def _remembering(space: Features) -> Features:
    """Return features of a network that are computed once for each array, which is kept."""
    if not space.network:
        return space
    known: list[tuple[np.ndarray, np.ndarray]] = []

    def extract(images_NCHW: np.ndarray) -> np.ndarray:
        for seen_NCHW, features_NF in known:
            if seen_NCHW is images_NCHW:
                return features_NF
        known.append((images_NCHW, space.extract(images_NCHW)))
        return known[-1][1]

    return replace(space, extract=extract)


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


def _sizes(files: list[folder.ImageFile]) -> Iterator[Sized]:
    """Yield files with their width and height in px by their headers, of those that have one."""
    for file in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with Image.open(file.path, formats=decode.FORMATS) as image:
                    size = image.size
            except Exception:  # noqa: S112 - whatever it is, decoding it tells
                continue
        yield file, size


def _unequal(sizes: set[tuple[int, int]], resolution: int) -> Iterator[str]:
    """Say what was done to samples that are not squares of one size."""
    shown = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)[:3])
    if len(sizes) > 1:
        yield (
            f"warning: samples of {len(sizes)} sizes ({shown}{', ...' if len(sizes) > 3 else ''}):"
            f" the centre square of each, at {resolution} px, is judged"
        )
    elif any(width != height for width, height in sizes):
        yield f"warning: samples of {shown} px: the centre square, at {resolution} px, is judged"


def _require_sides(headers: dict[str, list[Sized]], resolution: int, *, own: bool) -> None:
    """Refuse images smaller than `resolution` in px before any is decoded.

    `headers` are files with their sizes by option. `own` is whether that is the samples' own short
    side, which nobody asked for.
    """
    for option, sized in headers.items():
        for file, (width, height) in sized:
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
