"""Train the autoencoder on the prepared images, and measure what it keeps of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lirf import autoencoder as ae
from lirf import device, files, pictures, quality, store
from lirf.params import Params
from lirf.space import Space
from stages import command
from stages.command import Out
from stages.progress import track

CURVE_ROWS = 500
"""Most rows of the loss curve."""

COLUMNS, SHOWN = 10, 20
"""Pairs in a row of the picture, and most pairs of each split."""


def autoencoder(
    params: Params, images: Path, model: Out, metrics: Out, reconstructions: Out, loss: Out
) -> None:
    """Train on the training rows of `images` and measure the round trip of all rows.

    Writes diffusers' files and a fingerprint to `model`, a flat JSON object to `metrics`, a PNG
    with originals above their reconstructions (training images, then held-out ones) to
    `reconstructions`, and the losses by step to `loss` (TSV).

    Raises:
        ValueError: the images do not suit the parameters, or training diverged.
    """
    numbers = params.autoencoder
    where = device.choose(params.device, params.deterministic)
    part = store.read_part(images)
    split_N = np.array(part.rows["split"].to_pylist())
    train_NCHW = part.array[split_N == "train"]
    _, channels, resolution, _ = train_NCHW.shape
    network = ae.build(numbers, channels, resolution)
    steps = ae.train(network, train_NCHW, numbers, where)
    curve = list(track(steps, numbers.steps, "autoencoder"))
    ae.save(network, model)

    saved = ae.load(model, where)
    raw_NCHW = ae.encode(saved, train_NCHW, numbers.batch, where)
    space = Space.measure(raw_NCHW, saved.fingerprint)
    results: dict[str, Any] = {
        "fingerprint": saved.fingerprint,
        "latent_shape": "x".join(map(str, space.shape)),
        "seed": numbers.seed,
        "steps": numbers.steps,
        **_last_losses(curve),
    }
    panels = []
    for split in ("train", "heldout"):
        images_NCHW = part.array[split_N == split]
        results[f"n_{split}"] = len(images_NCHW)
        if len(images_NCHW):
            z_NCHW = space.scale(ae.encode(saved, images_NCHW, numbers.batch, where))
            rebuilt_NCHW = ae.decode(saved, z_NCHW, space, numbers.batch, where)
            results |= _quality(split, train_NCHW, images_NCHW, rebuilt_NCHW, space)
            panel = pictures.pairs(images_NCHW[:SHOWN], rebuilt_NCHW[:SHOWN], COLUMNS)
            panels.append(pictures.captioned(panel, f"{split}: originals above reconstructions"))
    files.write_json(metrics, results)
    pictures.save(pictures.stack(panels, gap=0), reconstructions)
    _write_curve(loss, curve)


def _quality(
    split: str,
    train_NCHW: np.ndarray,
    images_NCHW: np.ndarray,
    rebuilt_NCHW: np.ndarray,
    space: Space,
) -> dict[str, float]:
    """Return the metrics of one split's round trip, and of PCA with as many coefficients."""
    linear_NCHW = quality.pca_round_trip(train_NCHW, images_NCHW, math.prod(space.shape))
    results = {
        f"psnr_{split}": quality.psnr(images_NCHW, rebuilt_NCHW),
        f"ssim_{split}": quality.ssim(images_NCHW, rebuilt_NCHW),
        f"psnr_pca_{split}": quality.psnr(images_NCHW, linear_NCHW),
    }
    if split == "train":
        moved_N = quality.moved(images_NCHW, rebuilt_NCHW)
        results["moved_train_median"] = float(np.median(moved_N))
        results["moved_train_max"] = float(np.max(moved_N))
    return results


def _last_losses(curve: Sequence[ae.Losses]) -> dict[str, float]:
    """Return each loss averaged over the last tenth of the steps."""
    tail = [asdict(losses) for losses in curve[-max(1, len(curve) // 10) :]]
    return {f"loss_{name}": float(np.mean([row[name] for row in tail])) for name in tail[0]}


def _write_curve(path: Path, curve: Sequence[ae.Losses]) -> None:
    """Write evenly spaced steps, the last one among them, counted from 1."""
    stride = math.ceil(len(curve) / CURVE_ROWS)
    lines = ["step\treconstruction\tkl\tmanifold"]
    for step in range(len(curve), 0, -stride)[::-1]:
        row = curve[step - 1]
        lines.append(f"{step}\t{row.reconstruction:.6g}\t{row.kl:.6g}\t{row.manifold:.6g}")
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    command.run(autoencoder)
