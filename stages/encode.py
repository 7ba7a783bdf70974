"""Encode the training images: bank r00, the real latents that everything starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from lirf import autoencoder as ae
from lirf import device, store
from lirf.params import BANK_ZERO, Params
from lirf.space import Space
from stages import command
from stages.command import Out
from stages.progress import track


def encode(params: Params, images: Path, autoencoder: Path, bank: Out) -> None:
    """Encode the training rows of `images`, mirrored ones included, and write bank r00.

    Raises:
        ValueError: an input is damaged, or a latent is not finite.
    """
    where = device.choose(params.device)
    part = store.read_part(images)
    model = ae.load(autoencoder, where)
    train_N = np.flatnonzero(np.array(part.rows["split"].to_pylist()) == "train")
    pixels_NCHW, rows = part.array[train_N], part.rows.take(pa.array(train_N))
    size = params.encode.batch
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
    space = Space.measure(raw_NCHW, model.fingerprint)
    store.write_bank(bank, BANK_ZERO, space.scale(raw_NCHW), _bank_rows(rows), space)


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
