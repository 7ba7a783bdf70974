"""Train the autoencoder on the prepared images, or take one, and measure what it keeps of them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from lirf import params as settings
from lirf.autoencoder import alignment, manifold, midpoints, pretrained, quality, training
from lirf.autoencoder import model as ae
from lirf.features import features
from lirf.features.features import Features, Vision
from lirf.images import augmentation
from lirf.params import Params
from lirf.report import pictures
from lirf.store import files, parts
from lirf.store.space import Space
from lirf.training import device
from stages.support import command, scratch
from stages.support.command import Out
from stages.support.progress import track

CURVE_ROWS = 500
"""Most rows of the loss curve."""

COLUMNS, SHOWN = 10, 20
"""Pairs in a row of the picture, and most pairs of each split."""

STRIPS = 8
"""Pairs of images whose way from one to the other is shown."""

LOSSES = ("reconstruction", "kl", "manifold")
"""Of every training; there may be more."""

CURVE = "curve.json"
"""Of a checkpoint, beside the state."""

Curve = list[dict[str, float]]
"""The losses of every step."""


@dataclass(frozen=True)
class Images:
    """The prepared images, uint8 NCHW, and the number that a training image shares with its twin.

    `manifest` stands for all of their bytes.
    """

    train: np.ndarray
    heldout: np.ndarray
    groups: np.ndarray
    manifest: Path


@dataclass(frozen=True)
class Measured:
    """What is known of an autoencoder: numbers by name, and pictures."""

    results: dict[str, Any]
    reconstructions: Image
    strips: Image


def autoencoder(
    params: Params,
    images: Path,
    model: Out,
    metrics: Out,
    reconstructions: Out,
    strips: Out,
    loss: Out,
) -> None:
    """Train on the training rows of `images` and measure the round trip of all rows.

    With `autoencoder.pretrained` nothing is trained, and the curve has no rows.

    Writes diffusers' files and a fingerprint to `model`, a flat JSON object to `metrics`, a PNG
    with originals above their reconstructions (training images, then held-out ones) to
    `reconstructions`, one with the ways between neighbours to `strips`, and the losses by step to
    `loss` (TSV).

    A checkpoint every `autoencoder.checkpoint_every` steps lies in `.scratch/autoencoder`: an
    interrupted training goes on from there.

    Raises:
        ValueError: the images do not suit the parameters, or training diverged.
    """
    numbers = params.autoencoder
    where = device.of(params)
    real = read(images)
    seer = vision(numbers, where)
    network, curve = obtain(numbers, real, seer, where, "autoencoder")
    ae.save(network, model)
    found = measure(numbers, ae.load(model, where), real, seer, where)
    files.write_json(metrics, found.results | origin(numbers, curve))
    pictures.save(found.reconstructions, reconstructions)
    pictures.save(found.strips, strips)
    _write_curve(loss, curve)


def read(images: Path) -> Images:
    """Read what `prepare` wrote."""
    part = parts.read(images)
    train_N = np.array(part.rows["split"].to_pylist()) == "train"
    names = np.array(part.rows["source"].to_pylist())[train_N]
    groups = np.unique(names, return_inverse=True)[1]
    return Images(part.array[train_N], part.array[~train_N], groups, images / parts.MANIFEST)


def vision(numbers: settings.Autoencoder, where: torch.device) -> Vision | None:
    """Return the vision transformer where anything needs it."""
    if not numbers.sees and numbers.midpoints.features != "vision":
        return None
    return features.vision(numbers.vision, numbers.download, where)


def obtain(
    numbers: settings.Autoencoder,
    real: Images,
    seer: Vision | None,
    where: torch.device,
    name: str,
) -> tuple[ae.AutoencoderKL, Curve]:
    """Return a trained or a pretrained model, and its losses by step, none of the latter."""
    channels, resolution = real.train.shape[1:3]
    if numbers.pretrained is not None:
        return pretrained.load(numbers, channels, resolution), []
    eye = seer if numbers.sees else None
    fingerprint = _fingerprint(numbers, real, eye)
    neighbours_NK = manifold.neighbours(real.train, numbers.manifold_neighbours)
    begin = training.initial(numbers, channels, resolution, where, eye)
    claimed = scratch.claim(scratch.SCRATCH / name, fingerprint)
    with claimed as folder, command.deferred() as interrupted:
        state, curve = _resume(folder, begin) or (begin, [])
        left = numbers.steps - len(curve)
        steps = training.train(state, real.train, neighbours_NK, numbers, left, eye)
        for losses in track(steps, left, name):
            curve.append(losses)
            if len(curve) % numbers.checkpoint_every == 0 or interrupted():
                _keep(folder, state, curve)
            if interrupted():
                raise command.unfinished(interrupted(), name, len(curve), numbers.steps)
        _keep(folder, state, curve)
    return training.finished(state), curve


def measure(
    numbers: settings.Autoencoder,
    saved: ae.Autoencoder,
    real: Images,
    seer: Vision | None,
    where: torch.device,
) -> Measured:
    """Measure round trips and midpoints, and draw them."""
    batch = numbers.batch
    raw_NCHW = ae.encode(saved, real.train, batch, where)
    space = Space.measure(raw_NCHW, saved.fingerprint)
    seen = _features(numbers, seer)
    results: dict[str, Any] = {
        "fingerprint": saved.fingerprint,
        "latent_shape": "x".join(map(str, space.shape)),
        "features": seen.name,
        **({"feature_hash": seen.hash} if seen.hash else {}),
    }
    panels = []
    rebuilt = {}
    for split, images_NCHW in (("train", real.train), ("heldout", real.heldout)):
        results[f"n_{split}"] = len(images_NCHW)
        if len(images_NCHW):
            z_NCHW = space.scale(ae.encode(saved, images_NCHW, batch, where))
            rebuilt[split] = ae.decode(saved, z_NCHW, space, batch, where)
            results |= _quality(split, real.train, images_NCHW, rebuilt[split], space, seen)
            panel = pictures.pairs(images_NCHW[:SHOWN], rebuilt[split][:SHOWN], COLUMNS)
            panels.append(pictures.captioned(panel, f"{split}: originals above reconstructions"))

    def decode(z_NCHW: np.ndarray) -> np.ndarray:
        return ae.decode(saved, z_NCHW, space, batch, where)

    z_NCHW = space.scale(raw_NCHW)
    pairs_P2 = midpoints.pairs(real.train, real.groups, numbers.midpoints.neighbours)
    results["n_midpoints"] = len(pairs_P2)
    if len(real.heldout):
        results["psnr_gap"] = results["psnr_train"] - results["psnr_heldout"]
        sets = (
            decode(midpoints.between(z_NCHW, pairs_P2, 0.5)),
            rebuilt["train"],
            midpoints.blended(real.train, pairs_P2),
            real.train,
            real.heldout,
        )
        results |= midpoints.judge(*map(seen.extract, sets))
    strips = _strips(real, z_NCHW, pairs_P2, decode)
    return Measured(results, pictures.stack(panels, gap=0), strips)


def origin(numbers: settings.Autoencoder, curve: Curve) -> dict[str, Any]:
    """Return where the weights come from; losses are averaged over the last tenth of the steps."""
    if numbers.pretrained is not None:
        return {"pretrained": pretrained.name(numbers.pretrained)}
    tail = curve[-max(1, len(curve) // 10) :]
    losses = {f"loss_{name}": float(np.mean([row[name] for row in tail])) for name in tail[0]}
    return {"seed": numbers.seed, "steps": numbers.steps, **losses}


def _features(numbers: settings.Autoencoder, seer: Vision | None) -> Features:
    """Return the space in which midpoints and round trips are held against real images."""
    if numbers.midpoints.features == "vision":
        assert seer is not None, "it was asked for"
        return features.patches(seer, numbers.batch)
    return features.pixels() if numbers.midpoints.features == "pixels" else features.edges()


def _quality(
    split: str,
    train_NCHW: np.ndarray,
    images_NCHW: np.ndarray,
    rebuilt_NCHW: np.ndarray,
    space: Space,
    seen: Features,
) -> dict[str, float]:
    """Return the metrics of one split's round trip, and of PCA with as many coefficients."""
    linear_NCHW = quality.pca_round_trip(train_NCHW, images_NCHW, math.prod(space.shape))
    moved_NF = seen.extract(rebuilt_NCHW) - seen.extract(images_NCHW)
    results = {
        f"psnr_{split}": quality.psnr(images_NCHW, rebuilt_NCHW),
        f"ssim_{split}": quality.ssim(images_NCHW, rebuilt_NCHW),
        f"feature_distance_{split}": float(np.linalg.norm(moved_NF, axis=1).mean()),
        f"psnr_pca_{split}": quality.psnr(images_NCHW, linear_NCHW),
    }
    if split == "train":
        moved_N = quality.moved(images_NCHW, rebuilt_NCHW)
        results["moved_train_median"] = float(np.median(moved_N))
        results["moved_train_max"] = float(np.max(moved_N))
    return results


def _strips(
    real: Images,
    z_NCHW: np.ndarray,
    pairs_P2: np.ndarray,
    decode: Callable[[np.ndarray], np.ndarray],
) -> Image:
    """Return the ways of the first images to a neighbour, each in a row between the two."""
    _, first = np.unique(real.groups[pairs_P2[:, 0]], return_index=True)
    shown_S2 = pairs_P2[np.sort(first)[:STRIPS]]
    way_TSCHW = [decode(midpoints.between(z_NCHW, shown_S2, t)) for t in midpoints.STRIP]
    ends = real.train[shown_S2[:, 0]], real.train[shown_S2[:, 1]]
    columns_STCHW = np.stack([ends[0], *way_TSCHW, ends[1]], axis=1)
    return pictures.captioned(
        pictures.grid(columns_STCHW.reshape(-1, *real.train.shape[1:]), columns_STCHW.shape[1]),
        "A training image, the way from it to its neighbour,",
        "decoded, and the neighbour. The middle is halfway.",
    )


def _fingerprint(numbers: settings.Autoencoder, real: Images, eye: Vision | None) -> str:
    """Return a hash of all that the trained weights depend on: numbers, images, code."""
    modules = [ae, alignment, augmentation, training, manifold, *([features] if eye else [])]
    code = [Path(inspect.getfile(module)) for module in modules]
    left_out = {"midpoints", "download", "checkpoint_every", "vision"}
    facts = [numbers.model_dump_json(exclude=left_out), torch.__version__]
    if eye is not None:
        facts += [numbers.vision.model, eye.hash, str(eye.side)]
    return scratch.fingerprint(facts, [real.manifest, *code])


def _keep(folder: Path, state: training.State, curve: Curve) -> None:
    """Write a checkpoint, unless it is there."""

    def write(partial: Path) -> None:
        training.save(state, partial)
        names = list(curve[0])  # JSON here is sorted by its keys
        rows = [[losses[name] for name in names] for losses in curve]
        files.write_json(partial / CURVE, {"names": names, "rows": rows})

    scratch.keep(folder, len(curve), write)


def _resume(folder: Path, begin: training.State) -> tuple[training.State, Curve] | None:
    """Return the last checkpoint, if any."""

    def read(found: Path) -> tuple[training.State, Curve]:
        curve = files.read_json(found / CURVE)
        losses = [dict(zip(curve["names"], row, strict=True)) for row in curve["rows"]]
        return training.load(begin, found), losses

    return scratch.resume(folder, read)


def _write_curve(path: Path, curve: Sequence[Mapping[str, float]]) -> None:
    """Write evenly spaced steps, the last one among them, counted from 1."""
    stride = max(1, math.ceil(len(curve) / CURVE_ROWS))
    names = list(curve[0]) if curve else LOSSES
    lines = ["\t".join(["step", *names])]
    for step in range(len(curve), 0, -stride)[::-1]:
        row = curve[step - 1]
        lines.append("\t".join([str(step), *(f"{row[name]:.6g}" for name in names)]))
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    command.run(autoencoder)
