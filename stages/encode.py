"""Encode the images: bank r00, the real latents that everything starts from, and those held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from lirf import params as settings
from lirf.autoencoder import model as ae
from lirf.autoencoder.model import Autoencoder
from lirf.images import transforms
from lirf.params import BANK_ZERO, Params
from lirf.sampling import seeds
from lirf.store import banks, parts
from lirf.store.space import Space
from lirf.training import devices
from stages.support import command, scratch
from stages.support.command import Out
from stages.telling.progress import track

VERSIONS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.string()),  # id of the bank's row that it is a version of
        ("seed", pa.int64()),
        *((name, pa.float32()) for name in transforms.LABELS),
    ]
)


@dataclass(frozen=True)
class Source:
    """Images to encode: their ids, and what gives the ones in a range as uint8 [B, C, R, R]."""

    kind: str  # train | heldout | augmented
    ids: list[str]
    read: Callable[[int, int], np.ndarray]


def encode(
    params: Params, images: Path, autoencoder: Path, bank: Out, heldout: Out, augmented: Out
) -> None:
    """Encode the training rows of `images`, mirrored ones included, and write bank r00.

    `heldout` gets the latents of the held-out images, in the space of the bank; it may have none.
    Nothing is learned from them: they are what a set of latents can be compared with. `augmented`
    gets the latents of `encode.augmentation.views` random versions of each training row, in the
    same space, with the row they are of, their seed and their label.

    Memory holds the latents and `encode.batch` images. The latents of every batch lie in
    `.scratch/encode` until all are there: an interrupted run goes on from them.

    Raises:
        ValueError: an input is damaged, or a latent is not finite.
    """
    where = devices.of(params)
    model = ae.load(autoencoder, where)
    rows, _ = parts.read_rows(images)
    read = parts.read_items(images)
    training, train_N = _of_split(rows, "train")
    others, heldout_H = _of_split(rows, "heldout")
    versions, done = _versions(training["id"].to_pylist(), params.encode)
    parents_A = train_N.repeat(params.encode.augmentation.views)

    def version(start: int, stop: int) -> np.ndarray:
        return transforms.apply(read(parents_A[start:stop]), done[start:stop])

    sources = [
        Source("train", training["id"].to_pylist(), lambda a, b: read(train_N[a:b])),
        Source("heldout", others["id"].to_pylist(), lambda a, b: read(heldout_H[a:b])),
        Source("augmented", versions["id"].to_pylist(), version),
    ]
    fingerprint = _fingerprint(params.encode, model, images)
    with scratch.claim(scratch.SCRATCH / "encode", fingerprint) as folder:
        raw_NCHW, *rest = [
            _raw(model, source, params.encode.batch, where, folder) for source in sources
        ]
        space = Space.measure(raw_NCHW, model.fingerprint)
        z_HCHW, z_ACHW = (
            space.scale(raw) if len(raw) else np.empty((0, *space.shape), np.float32)
            for raw in rest
        )
        banks.write(bank, BANK_ZERO, space.scale(raw_NCHW), _bank_rows(training), space)
        banks.write_latents(heldout, z_HCHW, others.select(["id", "source"]), space)
        banks.write_latents(augmented, z_ACHW, versions, space)


def _of_split(rows: pa.Table, split: str) -> tuple[pa.Table, np.ndarray]:
    """Return the rows of one split, and their places."""
    places = np.flatnonzero(np.array(rows["split"].to_pylist()) == split)
    return rows.take(pa.array(places)), places


def _raw(
    model: Autoencoder, source: Source, size: int, where: torch.device, folder: Path
) -> np.ndarray:
    """Return the raw latents of images, `size` at a time; each lot is kept in `folder`.

    Raises:
        ValueError: a latent is not finite; names the image.
    """
    count = len(source.ids)
    lots = []
    for start in track(range(0, count, size), -(-count // size), f"encode {source.kind}"):
        stop = min(start + size, count)
        path = folder / f"{source.kind}-{start:09d}.npy"
        raw_BHWC = scratch.read_array(path)
        if raw_BHWC is None:
            raw_BCHW = ae.encode(model, source.read(start, stop), size, where)
            raw_BHWC = np.ascontiguousarray(raw_BCHW.transpose(0, 2, 3, 1))
            finite_B = np.isfinite(raw_BHWC).all(axis=(1, 2, 3))
            if not finite_B.all():
                raise ValueError(
                    f"the latent of {source.ids[start + int(np.argmin(finite_B))]} is not finite:"
                    " lower autoencoder.learning_rate and rerun `dvc repro`"
                )
            scratch.keep_array(path, raw_BHWC)
        lots.append(raw_BHWC)
    if not lots:
        return np.empty((0, 1, 1, 1), np.float32)
    # Channels lie last in memory whether computed or read: their statistics depend on the order.
    return np.concatenate(lots).transpose(0, 3, 1, 2)


def _fingerprint(config: settings.Encode, model: Autoencoder, images: Path) -> str:
    """Return a hash of all that the latents depend on."""
    numbers = (config.model_dump_json(), model.fingerprint)
    return scratch.fingerprint("encode", numbers, [images / parts.MANIFEST])


def _versions(
    ids: list[str], config: settings.Encode
) -> tuple[pa.Table, list[transforms.Transform]]:
    """Return a row for each augmented version of every image, and what is done to the image.

    A version's seed depends on its image's id and its number alone: more copies, or more images,
    leave the others as they are.
    """
    views = config.augmentation.views
    names = [
        (id_, number, seed)
        for id_ in ids
        for number, seed in enumerate(seeds.seeds(config.augmentation.seed, id_, views))
    ]
    done = [transforms.draw(config.augmentation, seeds.generator(seed)) for _, _, seed in names]
    labels_AL = np.array([one.label() for one in done]).reshape(-1, len(transforms.LABELS))
    columns = {
        "id": [f"{id_}-version{number:04d}" for id_, number, _ in names],
        "image": [id_ for id_, _, _ in names],
        "seed": [seed for _, _, seed in names],
        **dict(zip(transforms.LABELS, labels_AL.T.astype(np.float32), strict=True)),
    }
    return pa.table(columns, schema=VERSIONS_SCHEMA), done


def _bank_rows(rows: pa.Table) -> pa.Table:
    """Return the bank's rows of training images: real, without parents."""
    return banks.bank_rows(
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
