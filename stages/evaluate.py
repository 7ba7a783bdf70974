"""Compare fresh samples of a model with the held-out images and with the training images."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from lirf import autoencoder as autoencoding
from lirf import checkpoint, files, pictures, sampler, store
from lirf import device as devices
from lirf import features as feature_spaces
from lirf import metrics as measures
from lirf.features import Features
from lirf.metrics import Copies
from lirf.params import Params
from lirf.space import Space
from lirf.store import Part
from stages import command
from stages.command import Out
from stages.progress import track

COLUMNS, ROWS = 8, 8  # of the grid of samples
PANEL = 12  # samples shown beside their nearest training images
DIGITS = 6  # of a metric: more would only make differences of rounding visible


@dataclass(frozen=True)
class Real:
    """The real images, uint8 NCHW: those trained on, and those to compare with."""

    train: np.ndarray  # without mirror images
    reference: np.ndarray
    split: str  # of the reference: heldout | train


def evaluate(
    params: Params,
    run: str,
    images: Path,
    autoencoder: Path,
    weights: Path,
    metrics: Out,
    grid: Out,
    nearest: Out,
) -> None:
    """Sample model `run`, measure the samples and show them beside their nearest images.

    Every model is sampled from the same noise, so the numbers of two models are paired. Where
    there are too few held-out images, the reference is the training images; `metrics` says so.
    """
    part = store.read_part(images)
    real = _real(part, params.evaluate.neighbours)
    device = devices.choose(params.device)
    decoder = autoencoding.load(autoencoder, device)
    field, space = checkpoint.load_field(weights, device)
    batch = params.sample.batch

    def encode(images_NCHW: np.ndarray) -> np.ndarray:
        return space.scale(autoencoding.encode(decoder, images_NCHW, batch, device))

    seeds = sampler.seeds(params.evaluate.seed, "evaluate", params.evaluate.samples)
    batches = sampler.sample(field, seeds, space.shape, params.sample, device)
    tracked = track(batches, math.ceil(len(seeds) / batch), f"evaluate {run}")
    z_MCHW = np.concatenate([z_BCHW.numpy() for z_BCHW in tracked])
    fake_MCHW = autoencoding.decode(decoder, z_MCHW, space, batch, device)
    features = (
        feature_spaces.pixels()
        if params.evaluate.features == "pixels"
        else feature_spaces.latents(decoder.fingerprint, encode)
    )
    values, copies = measures.compare(
        features.extract(fake_MCHW),
        features.extract(real.reference),
        features.versions(real.train),
        params.evaluate.neighbours,
    )
    document = {
        **{key: round(v, DIGITS) if isinstance(v, float) else v for key, v in values.items()},
        **_protocol(params, part, real, features, space),
        "train_steps": checkpoint.read_document(weights)["step"],
    }
    files.write_json(metrics, document)
    pictures.save(_samples(run, fake_MCHW, copies), grid)
    pictures.save(_panel(run, fake_MCHW, real, copies), nearest)


def _real(part: Part, neighbours: int) -> Real:
    """Split the prepared images into those trained on and those to compare with."""
    split = np.array(part.rows["split"].to_pylist())
    mirrored = np.array(part.rows["flip"].to_pylist(), bool)
    train, heldout = split == "train", split == "heldout"
    original = part.array[train & ~mirrored]
    if heldout.sum() > neighbours:
        return Real(original, part.array[heldout], "heldout")
    print(  # noqa: T201
        f"warning: {heldout.sum()} held-out images, evaluate.neighbours = {neighbours} needs more:"
        " comparing with the training images, which rewards copies",
        file=sys.stderr,
    )
    return Real(original, part.array[train], "train")


def _protocol(
    params: Params, part: Part, real: Real, features: Features, space: Space
) -> dict[str, Any]:
    """Return what must be equal between two results for their numbers to be comparable."""
    adaptive = params.sample.solver == "dopri5"
    return {
        "n_fake": params.evaluate.samples,
        "n_train": len(real.train),
        "n_reference": len(real.reference),
        "reference": real.split,
        "flip": any(part.rows["flip"].to_pylist()),
        "features": features.name,
        "feature_hash": features.hash,
        "neighbours": params.evaluate.neighbours,
        "resolution": part.attributes["resolution"],
        "resize": "lanczos",
        "solver": params.sample.solver,
        "solver_steps": None if adaptive else params.sample.steps,
        "atol": params.sample.atol if adaptive else None,
        "rtol": params.sample.rtol if adaptive else None,
        "seed": params.evaluate.seed,
        "autoencoder": space.autoencoder,
    }


def _samples(run: str, fake_MCHW: np.ndarray, copies: Copies) -> Image:
    """Return the grid of the first samples."""
    shown = fake_MCHW[: COLUMNS * ROWS]
    marked = copies.copied[: len(shown)].tolist()
    return pictures.captioned(
        pictures.grid(shown, COLUMNS, marked=marked),
        f"{run}: the first {len(shown)} samples, not chosen.",
        f"Framed: copies of a training image ({sum(marked)} of {len(shown)}).",
    )


def _panel(run: str, fake_MCHW: np.ndarray, real: Real, copies: Copies) -> Image:
    """Return the first samples, each beside its nearest training images."""
    versions = [real.train, feature_spaces.mirror(real.train)]
    nearest_RKCHW = np.where(
        copies.version[:PANEL, :, None, None, None] == 1,
        versions[1][copies.nearest[:PANEL]],
        versions[0][copies.nearest[:PANEL]],
    )
    copied = copies.copied[:PANEL].tolist()
    notes = [
        f"{ratio:.2f}{' copy' if copy else ''}"
        for ratio, copy in zip(copies.ratio[:PANEL], copied, strict=True)
    ]
    rows = pictures.neighbours(fake_MCHW[:PANEL], nearest_RKCHW, notes, copied)
    return pictures.captioned(
        rows,
        f"{run}: the first {len(notes)} samples, not chosen,",
        f"each beside its {copies.nearest.shape[1]} nearest training images.",
        "Number: distance to the nearest over distance to the",
        "second; below 1/3 the sample is a copy (framed).",
    )


if __name__ == "__main__":
    command.run(evaluate)
