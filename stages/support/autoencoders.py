"""Autoencoders as stages obtain, judge and show them: trained here, or pretrained elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from lirf import params
from lirf.autoencoder import judge, pairs, pretrained, training
from lirf.autoencoder import model as ae
from lirf.autoencoder.judge import Images, Judged
from lirf.features import features, vision
from lirf.features.vision import Vision
from lirf.report import pictures
from lirf.store import parts
from stages.support import command, scratch
from stages.support.progress import track
from stages.support.resumable import Curve, Resumable

COLUMNS, SHOWN = 10, 20
"""Pairs in a row of the picture, and most pairs of each split."""


@dataclass(frozen=True)
class Task:
    """An autoencoder that is asked for, and all that it is made of.

    Attributes:
        stage: that asks for it, on whose code it depends.
        name: of its scratch, and in its progress.
        numbers: what is asked for.
        real: the prepared images.
        manifest: stands for all of their bytes.
        eye: the vision transformer, where training or measuring needs it.
    """

    stage: str
    name: str
    numbers: params.Autoencoder
    real: Images
    manifest: Path
    eye: Vision | None
    device: torch.device


def task(
    stage: str,
    numbers: params.Autoencoder,
    images: Path,
    device: torch.device,
    space: str | None = None,
) -> Task:
    """Read what `prepare` wrote to `images`, and the vision transformer where anything needs it.

    `space` is the name of the one of several that `stage` asks for.

    Raises:
        ValueError: the images are damaged, or the transformer is missing.
    """
    part = parts.read(images)
    train_N = np.array(part.rows["split"].to_pylist()) == "train"
    names = np.array(part.rows["source"].to_pylist())[train_N]
    groups = np.unique(names, return_inverse=True)[1]
    real = Images(part.array[train_N], part.array[~train_N], groups)
    eye = None
    if training.sees(numbers) or numbers.midpoints.features == "vision":
        eye = vision.load(numbers.vision, numbers.download, device)
    name = stage if space is None else f"{stage}-{space}"
    return Task(stage, name, numbers, real, images / parts.MANIFEST, eye, device)


def obtain(task: Task) -> tuple[ae.AutoencoderKL, Curve]:
    """Return a trained or a pretrained model, and its losses by step, none of the latter.

    Training leaves checkpoints in `.scratch/<name>` and goes on from the last one.

    Raises:
        ValueError: the images do not suit the numbers, or training diverged.
    """
    numbers, train_NCHW = task.numbers, task.real.train
    channels, resolution = train_NCHW.shape[1:3]
    if numbers.pretrained is not None:
        return pretrained.load(numbers, channels, resolution), []
    eye = task.eye if training.sees(numbers) else None
    neighbours_NK = pairs.neighbours(train_NCHW, numbers.manifold_neighbours)
    begin = training.initial(numbers, channels, resolution, task.device, eye)
    claimed = scratch.claim(scratch.SCRATCH / task.name, _fingerprint(task))
    with claimed as folder, command.deferred() as interrupted:
        work = Resumable(folder, begin, numbers.steps, numbers.checkpoint_every, training.save)
        work.resume(lambda found: training.load(begin, found))

        def advance(count: int) -> Iterator[dict[str, float]]:
            for row in training.train(work.state, train_NCHW, neighbours_NK, numbers, count, eye):
                yield row
                if interrupted():
                    return

        for _ in track(work.run(advance, interrupted), work.left, task.name):
            pass
        if interrupted():
            raise command.unfinished(interrupted(), task.name, len(work.curve), numbers.steps)
    return training.finished(work.state), work.curve


def judged(task: Task, saved: ae.Autoencoder, curve: Curve) -> Judged:
    """Measure a model, and say where its weights come from.

    Losses are averaged over the last tenth of the steps.
    """
    numbers = task.numbers
    seen = features.of(numbers.midpoints.features, eye=task.eye, batch=numbers.batch)
    found = judge.judge(
        saved, task.real, seen, numbers.midpoints.neighbours, numbers.batch, task.device
    )
    origin: dict[str, Any] = {"seed": numbers.seed, "steps": numbers.steps}
    if numbers.pretrained is not None:
        origin = {"pretrained": pretrained.name(numbers.pretrained)}
    tail = curve[-max(1, len(curve) // 10) :]
    for name in tail[0] if tail else ():
        origin[f"loss_{name}"] = float(np.mean([row[name] for row in tail]))
    return Judged(found.results | origin, found.rebuilt, found.strips)


def round_trips(real: Images, found: Judged) -> Image:
    """Show originals above their reconstructions, training images, then held-out ones."""
    panels = []
    for split, rebuilt_NCHW in found.rebuilt.items():
        originals_NCHW = real.train if split == "train" else real.heldout
        panel = pictures.pairs(originals_NCHW[:SHOWN], rebuilt_NCHW[:SHOWN], COLUMNS)
        panels.append(pictures.captioned(panel, f"{split}: originals above reconstructions"))
    return pictures.stack(panels, gap=0)


def strips(found: Judged) -> Image:
    """Show the ways of the first images to a neighbour, each in a row between the two."""
    rows, columns, *shape = found.strips.shape
    return pictures.captioned(
        pictures.grid(found.strips.reshape(rows * columns, *shape), columns),
        "A training image, the way from it to its neighbour,",
        "decoded, and the neighbour. The middle is halfway.",
    )


def _fingerprint(task: Task) -> str:
    """Return a hash of all that the trained weights depend on."""
    numbers, eye = task.numbers, task.eye if training.sees(task.numbers) else None
    left_out = {"midpoints", "download", "checkpoint_every", "vision"}
    facts = [numbers.model_dump_json(exclude=left_out)]
    if eye is not None:
        facts += [numbers.vision.model, eye.hash, str(eye.side)]
    return scratch.fingerprint(task.stage, facts, [task.manifest])
