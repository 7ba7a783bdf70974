"""Encode the images: bank r00, the real latents that everything starts from, and those held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from lirf import augmentation, device, seeds, store
from lirf import autoencoder as ae
from lirf import params as settings
from lirf.autoencoder import Autoencoder
from lirf.params import BANK_ZERO, Params
from lirf.space import Space
from stages import command
from stages.command import Out
from stages.progress import track

VERSIONS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.string()),  # id of the bank's row that it is a version of
        ("seed", pa.int64()),
        *((name, pa.float32()) for name in augmentation.LABELS),
    ]
)


def encode(
    params: Params, images: Path, autoencoder: Path, bank: Out, heldout: Out, augmented: Out
) -> None:
    """Encode the training rows of `images`, mirrored ones included, and write bank r00.

    `heldout` gets the latents of the held-out images, in the space of the bank; it may have none.
    Nothing is learned from them: they are what a set of latents can be compared with. `augmented`
    gets the latents of `encode.augmentation.copies` random versions of each training row, in the
    same space, with the row they are of, their seed and their label.

    Raises:
        ValueError: an input is damaged, or a latent is not finite.
    """
    where = device.choose(params.device, params.deterministic)
    part = store.read_part(images)
    model = ae.load(autoencoder, where)
    size = params.encode.batch
    pixels_NCHW, rows = _of_split(part, "train")
    raw_NCHW = _raw(model, pixels_NCHW, rows, size, where, "encode")
    space = Space.measure(raw_NCHW, model.fingerprint)

    def latents(images_MCHW: np.ndarray, of: pa.Table, label: str) -> np.ndarray:
        if not len(images_MCHW):
            return np.empty((0, *space.shape), np.float32)
        return space.scale(_raw(model, images_MCHW, of, size, where, label))

    heldout_HCHW, others = _of_split(part, "heldout")
    versions_ACHW, versions = _versions(pixels_NCHW, rows, params.encode)
    z_HCHW = latents(heldout_HCHW, others, "encode held-out")
    z_ACHW = latents(versions_ACHW, versions, "encode augmented")
    store.write_bank(bank, BANK_ZERO, space.scale(raw_NCHW), _bank_rows(rows), space)
    store.write_latents(heldout, z_HCHW, others.select(["id", "source"]), space)
    store.write_latents(augmented, z_ACHW, versions, space)


def _of_split(part: store.Part, split: str) -> tuple[np.ndarray, pa.Table]:
    """Return the images of one split, and their rows."""
    chosen = np.flatnonzero(np.array(part.rows["split"].to_pylist()) == split)
    return part.array[chosen], part.rows.take(pa.array(chosen))


def _raw(
    model: Autoencoder,
    pixels_NCHW: np.ndarray,
    rows: pa.Table,
    size: int,
    where: torch.device,
    label: str,
) -> np.ndarray:
    """Return the raw latents of images, `size` at a time.

    Raises:
        ValueError: a latent is not finite; names the image.
    """
    starts = range(0, len(pixels_NCHW), size)
    raw_NCHW = np.concatenate(
        [
            ae.encode(model, pixels_NCHW[start : start + size], size, where)
            for start in track(starts, len(starts), label)
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


def _versions(
    pixels_NCHW: np.ndarray, rows: pa.Table, config: settings.Encode
) -> tuple[np.ndarray, pa.Table]:
    """Return the augmented versions of every image, uint8 [A, C, R, R], and a row for each.

    A version's seed depends on its image's id and its number alone: more copies, or more images,
    leave the others as they are.
    """
    copies = config.augmentation.copies
    names = [
        (id_, number, seed)
        for id_ in rows["id"].to_pylist()
        for number, seed in enumerate(seeds.seeds(config.augmentation.seed, id_, copies))
    ]
    transforms = [
        augmentation.draw(config.augmentation, seeds.generator(seed)) for _, _, seed in names
    ]
    versions_ACHW = pixels_NCHW.repeat(copies, axis=0)
    for start in range(0, len(versions_ACHW), config.batch):
        block = slice(start, start + config.batch)
        versions_ACHW[block] = augmentation.apply(versions_ACHW[block], transforms[block])
    labels_AL = np.array([one.label() for one in transforms]).reshape(-1, len(augmentation.LABELS))
    columns = {
        "id": [f"{id_}-version{number:04d}" for id_, number, _ in names],
        "image": [id_ for id_, _, _ in names],
        "seed": [seed for _, _, seed in names],
        **dict(zip(augmentation.LABELS, labels_AL.T.astype(np.float32), strict=True)),
    }
    return versions_ACHW, pa.table(columns, schema=VERSIONS_SCHEMA)


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
