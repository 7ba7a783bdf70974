"""Train the autoencoder on the prepared images, or take one, and measure what it keeps of them."""

from __future__ import annotations

from pathlib import Path

from lirf.autoencoder import model as ae
from lirf.params import Params
from lirf.report import pictures
from lirf.store import files
from lirf.training import devices
from stages.support import autoencoders, command, resumable
from stages.support.command import Out

LOSSES = ("reconstruction", "kl", "manifold")
"""Of every training; there may be more."""


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

    With `autoencoder.pretrained` nothing is trained, and the curve has no rows, unless
    `autoencoder.finetune` says so.

    Writes diffusers' files and a fingerprint to `model`, a flat JSON object to `metrics`, a PNG
    with originals above their reconstructions (training images, then held-out ones) to
    `reconstructions`, one with the ways between neighbours to `strips`, and the losses by step to
    `loss` (TSV).

    A checkpoint every `autoencoder.checkpoint_every` steps lies in `.scratch/autoencoder`: an
    interrupted training goes on from there.

    Raises:
        ValueError: the images do not suit the parameters, or training diverged.
    """
    where = devices.of(params)
    task = autoencoders.task("autoencoder", params.autoencoder, images, where)
    obtained = autoencoders.obtain(task)
    ae.save(obtained.framed, model)
    found = autoencoders.judged(task, ae.load(model, where), obtained)
    files.write_json(metrics, found.results)
    pictures.save(autoencoders.round_trips(task.real, found), reconstructions)
    pictures.save(autoencoders.strips(found), strips)
    resumable.write_curve(loss, obtained.curve, LOSSES)


if __name__ == "__main__":
    command.run(autoencoder)
