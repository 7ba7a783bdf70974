"""Encode the images: bank r00, the real latents that everything starts from, and those held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from lirf import autoencoder as ae
from lirf import device, store
from lirf.params import BANK_ZERO, Params
from lirf.space import Space
from stages import command
from stages.command import Out
from stages.progress import track


def encode(params: Params, images: Path, autoencoder: Path, bank: Out, heldout: Out) -> None:
    """Encode the training rows of `images`, mirrored ones included, and write bank r00.

    `heldout` gets the latents of the held-out images, in the space of the bank; it may have none.
    Nothing is learned from them: they are what a set of latents can be compared with.

    Raises:
        ValueError: an input is damaged, or a latent is not finite.
    """
    where = device.choose(params.device)
    part = store.read_part(images)
    model = ae.load(autoencoder, where)
    size = params.encode.batch
    pixels_NCHW, rows = _of_split(part, "train")
    raw_NCHW = _raw(model, pixels_NCHW, rows, size, where)
    space = Space.measure(raw_NCHW, model.fingerprint)
    z_NCHW = space.scale(raw_NCHW)
    pixels_NCHW, others = _of_split(part, "heldout")
    z_HCHW = np.empty((0, *space.shape), np.float32)
    if len(pixels_NCHW):
        z_HCHW = space.scale(_raw(model, pixels_NCHW, others, size, where))
    store.write_bank(bank, BANK_ZERO, z_NCHW, _bank_rows(rows), space)
    store.write_latents(heldout, z_HCHW, others.select(["id", "source"]), space)


def _of_split(part: store.Part, split: str) -> tuple[np.ndarray, pa.Table]:
    """Return the images of one split, and their rows."""
    chosen = np.flatnonzero(np.array(part.rows["split"].to_pylist()) == split)
    return part.array[chosen], part.rows.take(pa.array(chosen))


def _raw(
    model: ae.Autoencoder,
    pixels_NCHW: np.ndarray,
    rows: pa.Table,
    size: int,
    where: torch.device,
) -> np.ndarray:
    """Return the raw latents of images, `size` at a time.

    Raises:
        ValueError: a latent is not finite; names the image.
    """
    starts = range(0, len(pixels_NCHW), size)
    raw_NCHW = np.concatenate(
        [
            ae.encode(model, pixels_NCHW[start : start + size], size, where)
            for start in track(starts, len(starts), "encode")
        ]
    )
    finite_N = np.isfinite(raw_NCHW).all(axis=(1, 2, 3))
    if not finite_N.all():
        culprit = rows["id"][int(np.argmin(finite_N))].as_py()
        raise ValueError(
            f"the latent of {culprit} is not finite: lower autoencoder.learning_rate and rerun"
            " `dvc repro`"
        )
    return raw_NCHW


def _bank_rows(rows: pa.Table) -> pa.Table:
    """Return the bank's rows of training images: real, without parents."""
    return store.bank_rows(
        {
            "id": rows["id"],
            "round": [BANK_ZERO] * rows.num_rows,
            "kind": ["real"] * rows.num_rows,
            "source": rows["source"],
            "flip": rows["flip"],
        }
    )


if __name__ == "__main__":
    command.run(encode)
