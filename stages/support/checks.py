"""What a run asks of its images, its sizes and this machine, checked before anything is trained."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import torch

from lirf.autoencoder import aside
from lirf.features import imagenet, inception, vision
from lirf.networks import build
from lirf.params import Params

LEAST = 3
"""Training images, at least."""

NUMBER = 4
"""Bytes of a latent's number or of a weight."""

STATE = 4
"""Numbers that are kept of a weight: itself, its average and the two moments of Adam."""


@dataclass(frozen=True)
class Counts:
    """Images that were prepared: to train on (mirrored ones not counted), held out, left out."""

    train: int
    heldout: int
    skipped: int
    duplicates: int


@dataclass(frozen=True)
class Sizes:
    """The shape (C, H, W) of latents, and how many weights the velocity network has."""

    latent: tuple[int, int, int]
    weights: int


def sizes(params: Params) -> Sizes:
    """Return what is made of the images' size, after checking that it can be made.

    The autoencoder takes the images, and the network what it makes of them.

    Raises:
        ValueError: one line that names the key, the value and the remedy.
    """
    shape = _latent_shape(params)
    with torch.device("meta"):  # without memory for weights
        network = build.build(params.initialize.network.model_dump(), shape)
    return Sizes(shape, sum(one.numel() for one in network.parameters()))


def _latent_shape(params: Params) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of latents, without training anything.

    Raises:
        ValueError: the autoencoder is missing, or does not take the images' size or colour.
    """
    config, resolution = params.autoencoder, params.prepare.resolution
    if config.pretrained is None:
        levels = len(config.widths)
        why = f"which {levels} autoencoder.widths need"
        factor, channels = 2 ** (levels - 1), config.latent_channels
    else:
        from lirf.autoencoder import kinds, pretrained  # noqa: PLC0415 - seconds to load

        model = pretrained.load(config, image_channels(params), resolution).model
        factor, channels, why = kinds.factor(model), kinds.latent_channels(model), ""
    side = config.latent_side(resolution, factor, why)
    return channels, side, side


def image_channels(params: Params) -> int:
    """Return how many channels the prepared images have."""
    return 3 if params.prepare.colour == "rgb" else 1


def require_weights(params: Params) -> None:
    """Check that the weights are here that samples and round trips will be seen through.

    Raises:
        ValueError: one line that says what is missing and where to put it.
    """
    match params.evaluate.features:
        case "imagenet":
            imagenet.weights()
        case "inception":
            inception.weights()
        case "vision":
            vision.find(params.autoencoder.vision, params.autoencoder.download)
        case "pixels" | "latents":
            pass
        case other:
            assert_never(other)
    file = params.autoencoder.lpips
    if file is not None and not Path(file).expanduser().is_file():
        raise ValueError(f"autoencoder.lpips = {file}: no such file; set null to do without")


def require_images(source: Path, params: Params, counts: Counts) -> None:
    """Check that there are enough images for all that looks up neighbours among them.

    Raises:
        ValueError: there are too few to train on; names the key that may be lowered.
    """
    enough = not few_heldout(params, counts)
    needed = {
        "correct.neighbours": params.correct.neighbours,
        "diagnose.neighbours": params.diagnose.neighbours,
        "diagnose.bins": params.diagnose.bins - 1,
        **({} if enough else {"evaluate.neighbours": params.evaluate.neighbours}),
    }
    trained = params.autoencoder.manifold_neighbours
    away = aside.count(counts.train, params.autoencoder.holdout)
    needed["autoencoder.manifold_neighbours"] = trained + away
    key, most = max(needed.items(), key=lambda one: one[1])
    least = max(LEAST, most + 1)
    section, _, name = key.partition(".")
    value = getattr(getattr(params, section), name)
    remedy = f"add images or lower {key} = {value}" if least > LEAST else "add images"
    if counts.train < least:
        raise ValueError(
            f"{source}: {counts.train} training images ({counts.heldout} held out,"
            f" {counts.skipped} skipped, {counts.duplicates} duplicates left out), at least"
            f" {least} needed; {remedy}"
        )


def few_heldout(params: Params, counts: Counts) -> list[str]:
    """Return a warning where samples will be compared with the training images, else nothing."""
    if counts.heldout > params.evaluate.neighbours:
        return []
    return [
        f"warning: {counts.heldout} held-out images, evaluate.neighbours ="
        f" {params.evaluate.neighbours} needs more: samples will be compared with the training"
        " images, which rewards memorising; put images of their own into a folder heldout/ or set"
        " prepare.holdout"
    ]


def least_bytes(params: Params, sizes: Sizes, count: int) -> int:
    """Return how many bytes a run on `count` images writes at least.

    Those of images, of the latents of their views, and of two models.
    """
    latent = NUMBER * math.prod(sizes.latent)
    pixels = image_channels(params) * params.prepare.resolution**2
    versions = (2 if params.prepare.flip else 1) * count
    latents = versions * (1 + params.encode.augmentation.views) * latent
    return versions * pixels + latents + 2 * STATE * NUMBER * sizes.weights


def require_room(params: Params, sizes: Sizes, count: int, folder: Path) -> None:
    """Check that the disk of `folder` has room for a run on `count` images.

    Raises:
        ValueError: it has not.
    """
    needed, free = least_bytes(params, sizes, count), shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"{folder.resolve()}: {free / 1e9:.1f} GB free, at least {needed / 1e9:.1f} GB needed;"
            " free some space, or lower encode.augmentation.views ="
            f" {params.encode.augmentation.views}"
        )
