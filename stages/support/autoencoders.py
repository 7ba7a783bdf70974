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
from lirf.autoencoder import aside, judge, pretrained, state, training
from lirf.autoencoder import model as ae
from lirf.autoencoder.judge import Images, Judged
from lirf.autoencoder.layout import CONFIG, WEIGHTS
from lirf.autoencoder.losses import Eyes
from lirf.features import features, imagenet, lpips, vision
from lirf.report import pictures
from lirf.store import parts
from stages.support import command, scratch
from stages.support.resumable import Curve, Resumable
from stages.telling.progress import track

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
        eyes: the frozen networks that training or measuring looks through.
    """

    stage: str
    name: str
    numbers: params.Autoencoder
    real: Images
    manifest: Path
    eyes: Eyes
    device: torch.device


@dataclass(frozen=True)
class Obtained:
    """A model, and where it comes from.

    Attributes:
        framed: the model.
        curve: its losses by step, none where nothing was trained.
        before: the pretrained model that was trained further, if one was.
        looks: the loss on the images set aside at every look, where there are any.
    """

    framed: ae.Framed
    curve: Curve
    before: ae.Framed | None
    looks: list[float]


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
    seen = eyes(numbers, device, vision_too=numbers.midpoints.features == "vision")
    name = stage if space is None else f"{stage}-{space}"
    return Task(stage, name, numbers, real, images / parts.MANIFEST, seen, device)


def eyes(
    numbers: params.Autoencoder,
    device: torch.device,
    *,
    vision_too: bool = False,
    imagenet_too: bool = False,
) -> Eyes:
    """Return the frozen networks that training looks through, and others where they are asked for.

    The distance of LPIPS is among them where its file is named.

    Raises:
        ValueError: one line that says which weights are missing.
    """
    sees_vision = vision_too or numbers.sees("vision")
    sees_imagenet = imagenet_too or numbers.sees("imagenet")
    aligned = numbers.alignment == "features" and numbers.align.by == "imagenet"
    key = "autoencoder.align.by" if aligned else "autoencoder.perceptual"
    return Eyes(
        vision.load(numbers.vision, numbers.download, device) if sees_vision else None,
        imagenet.load(device, key) if sees_imagenet else None,
        None if numbers.lpips is None else lpips.load(numbers.lpips, device),
    )


def obtain(task: Task) -> Obtained:
    """Train a model, or take a pretrained one, and train it further where that is asked for.

    Training leaves checkpoints in `.scratch/<name>` and goes on from the last one.

    Raises:
        ValueError: the images do not suit the numbers, or training diverged.
    """
    numbers = task.numbers
    framed = _untrained(task)
    if not numbers.trains:
        return Obtained(framed, [], None, [])
    examples = training.gather(numbers, task.real.train, task.real.groups)
    begin = state.initial(numbers, framed, task.device, task.eyes)
    claimed = scratch.claim(scratch.SCRATCH / task.name, _fingerprint(task))
    with claimed as folder, command.deferred() as interrupted:
        work = Resumable(folder, begin, numbers.steps, numbers.checkpoint_every, state.save)
        work.resume(lambda found: state.load(begin, found))

        def advance(count: int) -> Iterator[dict[str, float]]:
            for row in training.train(work.state, examples, numbers, count, task.eyes):
                yield row
                if interrupted():
                    return

        steps, done = work.run(advance, interrupted), len(work.curve)
        for _ in track(steps, numbers.steps, task.name, done, work.loss):
            pass
        if interrupted():
            raise command.unfinished(interrupted(), task.name, len(work.curve), numbers.steps)
    before = None if numbers.pretrained is None else _untrained(task)
    return Obtained(work.state.finished(), work.curve, before, work.state.looks)


def judged(task: Task, saved: ae.Autoencoder, obtained: Obtained) -> Judged:
    """Measure a model, and say where its weights come from.

    Losses are averaged over the last tenth of the steps. Numbers that end in `_before` are of the
    pretrained model that was trained further.
    """
    numbers, curve = task.numbers, obtained.curve
    seen = features.of(
        numbers.midpoints.features, eye=task.eyes.vision, batch=numbers.batch, device=task.device
    )
    found = judge.judge(
        saved,
        task.real,
        seen,
        numbers.midpoints.neighbours,
        numbers.batch,
        task.device,
        task.eyes.lpips,
    )
    origin: dict[str, Any] = {}
    if numbers.pretrained is not None:
        origin["pretrained"] = pretrained.name(numbers.pretrained)
    if numbers.trains:
        origin |= {"seed": numbers.seed, "steps": numbers.steps}
    if obtained.before is not None:
        origin |= {"finetune": numbers.finetune, **_before(task, obtained.before)}
    if looks := obtained.looks:
        best = min(looks)
        last = len(looks) - 1 - looks[::-1].index(best)
        origin |= {"best_step": aside.moments(numbers.steps)[last]}
        origin |= {"loss_aside_before": looks[0], "loss_aside_best": best}
    tail = curve[-max(1, len(curve) // 10) :]
    for name in tail[0] if tail else ():
        origin[f"loss_{name}"] = float(np.mean([row[name] for row in tail]))
    return Judged(found.results | origin, found.rebuilt, found.strips)


def _untrained(task: Task) -> ae.Framed:
    """Return what is there before any training."""
    make = ae.build if task.numbers.pretrained is None else pretrained.load
    return make(task.numbers, *task.real.train.shape[1:3])


def _before(task: Task, framed: ae.Framed) -> dict[str, float]:
    """Return what a round trip kept of the held-out images before any training here."""
    heldout_NCHW, batch = task.real.heldout, task.numbers.batch
    if not len(heldout_NCHW):
        return {}
    moved = ae.Framed(ae.to(framed.model, task.device), framed.frame)
    rebuilt_NCHW = ae.round_trip(moved, heldout_NCHW, batch, task.device)
    return judge.kept(heldout_NCHW, rebuilt_NCHW, "_heldout_before", batch, task.eyes.lpips)


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
    numbers, eye = task.numbers, task.eyes.vision if task.numbers.sees("vision") else None
    left_out = {"midpoints", "download", "checkpoint_every", "vision", "lpips"}
    facts = [numbers.model_dump_json(exclude=left_out)]
    if eye is not None:
        facts += [numbers.vision.model, eye.hash, str(eye.side)]
    if numbers.sees("imagenet"):
        facts.append(imagenet.SHA256)
    if task.eyes.lpips is not None and numbers.sees("lpips"):
        facts.append(task.eyes.lpips.hash)
    inputs = [task.manifest]
    if numbers.pretrained is not None:
        inputs += [pretrained.find(numbers) / name for name in (CONFIG, WEIGHTS)]
    return scratch.fingerprint(task.stage, facts, inputs)
