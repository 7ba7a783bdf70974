"""Compare fresh samples of a model with the held-out images and with the training images."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL.Image import Image

from lirf.autoencoder import model as autoencoding
from lirf.features import features as feature_spaces
from lirf.features import vision
from lirf.features.features import Encoder, Features
from lirf.measure import evaluation
from lirf.measure import nearest as nearest_images
from lirf.measure.memorised import Memorised
from lirf.params import Params
from lirf.report import pictures
from lirf.sampling import mixup, sampler
from lirf.store import banks, files, parts
from lirf.store.parts import Part
from lirf.store.space import Space
from lirf.training import checkpoint, devices
from stages.support import command, drawing
from stages.support.command import Out
from stages.telling.progress import track

COLUMNS, ROWS = 8, 8  # of the grid of samples
PANEL = 12  # samples shown beside their nearest training images
DIGITS = 6  # of a metric: more would only make differences of rounding visible
SAMPLES_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("seed", pa.int64()),
        ("memorised", pa.bool_()),
        ("ratio", pa.float64()),  # distance to the nearest over that to the second other image
        ("nearest", pa.list_(pa.string())),  # ids of training images, nearest first
        ("mirrored", pa.list_(pa.bool_())),  # whether the mirror image is what is near
        ("distance", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True)
class Real:
    """The real images, uint8 NCHW: those trained on, and those to compare with."""

    train: np.ndarray  # without mirror images
    ids: np.ndarray  # of the images trained on
    reference: np.ndarray
    split: str  # of the reference: heldout | train


def evaluate(
    params: Params,
    run: str,
    images: Path,
    autoencoder: Path,
    bank: Path,
    weights: Path,
    metrics: Out,
    samples: Out,
    grid: Out,
    nearest: Out,
) -> None:
    """Sample model `run`, measure the samples and show them beside their nearest images.

    `samples` keeps the first ones, not chosen, as uint8 images with the training images that each
    is nearest to; `grid` and `nearest` are pictures of them.

    A sample is memorised that is near a training image, mirrored or not, or near what the
    autoencoder makes of it: a blurred training image is not a new one.

    Every model is sampled from the same noise, so the numbers of two models are paired. Where
    there are too few held-out images, the reference is the training images; `metrics` says so.
    With another `evaluate.generator` than the network, the samples are made of the real latents
    of `bank`, and are the same for every model.
    """
    part = parts.read(images)
    real = _real(part, params.evaluate.neighbours)
    device = devices.of(params)
    decoder = autoencoding.load(autoencoder, device)
    batch = params.sample.batch or autoencoding.DECODED
    space = banks.read_register(bank).space

    def encode(images_NCHW: np.ndarray) -> np.ndarray:
        return space.scale(autoencoding.encode(decoder, images_NCHW, batch, device))

    def decode(z_NCHW: np.ndarray) -> np.ndarray:
        return autoencoding.decode(decoder, z_NCHW, space, batch, device)

    features = _features(params, Encoder(decoder.fingerprint, encode), batch, device)
    fake_MCHW = decode(_latents(params, run, bank, space, weights, device))
    values, memorised = evaluation.measure(
        fake_MCHW,
        real.reference,
        nearest_images.versions(real.train, lambda images_NCHW: decode(encode(images_NCHW))),
        features,
        params.evaluate.neighbours,
        heldout=real.split == "heldout",
    )
    document = {
        **{key: round(v, DIGITS) if isinstance(v, float) else v for key, v in values.items()},
        **_protocol(params, part, real, features, space),
        "train_steps": checkpoint.read_document(weights)["step"] if _trained(params) else None,
    }
    files.write_json(metrics, document)
    _write_samples(samples, params, fake_MCHW, real, memorised)
    title = run if _trained(params) else f"{params.evaluate.generator} in place of {run}"
    pictures.save(_samples(title, fake_MCHW, memorised), grid)
    pictures.save(_panel(title, fake_MCHW, real, memorised), nearest)


def _features(params: Params, encoder: Encoder, batch: int, device: torch.device) -> Features:
    """Return the features in which everything is compared."""
    name, config = params.evaluate.features, params.autoencoder
    eye = vision.load(config.vision, config.download, device) if name == "vision" else None
    return feature_spaces.of(name, encoder, eye, batch, device)


def _trained(params: Params) -> bool:
    """Return whether the samples are those of a trained network."""
    return params.evaluate.generator == "network"


def _latents(
    params: Params, run: str, bank: Path, space: Space, weights: Path, device: torch.device
) -> np.ndarray:
    """Return the scaled latents of the samples, [M, C, H, W], in the space of the bank."""
    seeds = sampler.seeds(params.evaluate.seed, "evaluate", params.evaluate.samples)
    if _trained(params):
        made = drawing.load(weights, params.sample, device)
        made.space.require(space, str(bank))
        batches = track(made.sample(seeds), made.batches(len(seeds)), f"evaluate {run}")
        return np.concatenate([z_BCHW.numpy() for z_BCHW in batches])
    known = banks.read(bank)
    real_NCHW, group_N = known.latents[known.real], known.groups[known.real]
    if params.evaluate.generator == "memory":
        return mixup.memory(real_NCHW, seeds)
    return mixup.mixup(real_NCHW, group_N, seeds, params.evaluate.mixup_neighbours)


def _real(part: Part, neighbours: int) -> Real:
    """Split the prepared images into those trained on and those to compare with."""
    split = np.array(part.rows["split"].to_pylist())
    mirrored = np.array(part.rows["flip"].to_pylist(), bool)
    train, heldout = split == "train", split == "heldout"
    original, ids = part.array[train & ~mirrored], part.rows["id"].to_numpy()[train & ~mirrored]
    if heldout.sum() > neighbours:
        return Real(original, ids, part.array[heldout], "heldout")
    print(  # noqa: T201
        f"warning: {heldout.sum()} held-out images, evaluate.neighbours = {neighbours} needs more:"
        " comparing with the training images, which rewards memorising",
        file=sys.stderr,
    )
    return Real(original, ids, part.array[train], "train")


def _protocol(
    params: Params, part: Part, real: Real, features: Features, space: Space
) -> dict[str, Any]:
    """Return what must be equal between two results for their numbers to be comparable."""
    solved, generator = _trained(params), params.evaluate.generator
    adaptive = solved and params.sample.solver == "dopri5"
    return {
        "generator": generator,
        "mixup_neighbours": params.evaluate.mixup_neighbours if generator == "mixup" else None,
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
        "solver": params.sample.solver if solved else None,
        "solver_steps": params.sample.steps if solved and not adaptive else None,
        "atol": params.sample.atol if adaptive else None,
        "rtol": params.sample.rtol if adaptive else None,
        "seed": params.evaluate.seed,
        "autoencoder": space.autoencoder,
    }


def _write_samples(
    folder: Path, params: Params, fake_MCHW: np.ndarray, real: Real, memorised: Memorised
) -> None:
    """Write the first samples, and a row for each: its seed and its nearest training images."""
    shown = slice(0, COLUMNS * ROWS)
    images_SCHW = fake_MCHW[shown]
    columns = {
        "id": [f"sample-{place:05d}" for place in range(len(images_SCHW))],
        "seed": sampler.seeds(params.evaluate.seed, "evaluate", len(images_SCHW)),
        "memorised": memorised.memorised[shown],
        "ratio": memorised.ratio[shown].round(DIGITS),
        "nearest": real.ids[memorised.nearest[shown]].tolist(),
        "mirrored": nearest_images.mirrored(memorised.version[shown]).tolist(),
        "distance": memorised.distance[shown].round(DIGITS).tolist(),
    }
    parts.write(folder, images_SCHW, pa.table(columns, schema=SAMPLES_SCHEMA), {})


def _samples(title: str, fake_MCHW: np.ndarray, memorised: Memorised) -> Image:
    """Return the grid of the first samples."""
    shown = fake_MCHW[: COLUMNS * ROWS]
    marked = memorised.memorised[: len(shown)].tolist()
    return pictures.captioned(
        pictures.grid(shown, COLUMNS, marked=marked),
        f"{title}: the first {len(shown)} samples, not chosen.",
        f"Framed: memorised training images ({sum(marked)} of {len(shown)}).",
    )


def _panel(title: str, fake_MCHW: np.ndarray, real: Real, memorised: Memorised) -> Image:
    """Return the first samples, each beside its nearest training images."""
    notes = [
        f"{ratio:.2f}{' memorised' if found else ''}"
        for ratio, found in zip(memorised.ratio[:PANEL], memorised.memorised[:PANEL], strict=True)
    ]
    rows = nearest_images.panel(fake_MCHW[:PANEL], real.train, memorised, notes)
    return pictures.captioned(
        rows,
        f"{title}: the first {len(notes)} samples, not chosen,",
        f"each beside its {memorised.nearest.shape[1]} nearest training images.",
        "Number: distance to the nearest over distance to the",
        f"second; below {memorised.limit:.2f} the sample is memorised (framed).",
    )


if __name__ == "__main__":
    command.run(evaluate)
