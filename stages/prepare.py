"""Turn a folder of images into one array of equal squares, and a row of facts for each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

import stages
from lirf.images import decode, folder, holdout, similar
from lirf.images.decode import BadImage, Decoded
from lirf.images.folder import ImageFile, Row
from lirf.params import Params
from lirf.store import files, parts
from stages.support import checks, command
from stages.support.command import Out
from stages.telling import pace
from stages.telling.progress import track

SHOWN = 10  # pairs of near-duplicates that are named
ROWS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),  # train | heldout
        ("source", pa.string()),  # file, relative to the folder of images
        ("flip", pa.bool_()),  # the mirror image of its source
        ("sha256", pa.string()),  # of the file
        ("width", pa.int64()),  # px, original, upright
        ("height", pa.int64()),
        ("mode", pa.string()),  # Pillow's, original
        ("done", pa.string()),
    ]
)


@dataclass(frozen=True)
class Twins:
    """Places of near-duplicates, [P, 2]: of a held-out image and one to train on, and others."""

    apart: np.ndarray
    together: np.ndarray

    @property
    def count(self) -> int:
        """Return how many pairs there are."""
        return len(self.apart) + len(self.together)


def prepare(params: Params, images: Out, metrics: Out) -> None:
    """Prepare the images below `prepare.images`: training rows first, then the held-out ones.

    Writes uint8 [N, C, R, R] with its table to `images`, and how many images there were of
    each kind to `metrics`. What is left out, skipped, repeated, nearly so or doubtful is named on
    standard error. `prepare.holdout` of the images are held out where the folder says so of none.
    The folder is no option: a shell would read its name.

    What later stages ask of the images, of their size and of this machine is checked here first.

    Raises:
        ValueError: the folder or one of its images cannot be used, too few are left, or the numbers
            do not suit them.
    """
    source = Path(params.prepare.images)
    sizes = checks.sizes(params)
    checks.require_weights(params)
    found, others = folder.find(source)
    checks.require_room(params, sizes, len(found), images.parent)
    usable: list[tuple[ImageFile, Decoded]] = []
    skipped: list[BadImage] = []
    for file in track(found, len(found), "prepare"):
        try:
            usable.append((file, decode.load(file.path, params.prepare)))
        except BadImage as error:
            if params.prepare.on_bad_image == "fail":
                raise ValueError(
                    f"{error}; fix or remove the file, or set prepare.on_bad_image: skip"
                ) from None
            skipped.append(error)
    near = _near(usable, params.prepare.resolution)
    if params.prepare.holdout and all(file.split == "train" for file, _ in usable):
        groups = similar.groups(len(usable), near)
        usable = holdout.draw(usable, groups, params.prepare.holdout, params.prepare.seed)
    rows, repeats = folder.distinct(usable, params.prepare.flip)
    originals = [row for row in rows if not row.flip]
    twins = _twins(originals, usable, near)
    counts = {
        "train": sum(row.file.split == "train" for row in originals),
        "heldout": sum(row.file.split == "heldout" for row in originals),
        "mirrored": len(rows) - len(originals),
        "skipped": len(skipped),
        "duplicates": len(repeats),
        "near_duplicates": twins.count,
        "converted": sum("converted from" in row.image.done for row in originals),
    }
    lines = [f"warning: skipped {error}" for error in skipped]
    lines += [_left_out(file, row) for file, row in repeats]
    lines += _alike(twins, usable)
    lines += [*_doubts(usable), *(f"warning: {line}" for line in others.lines())]
    numbers = (counts[kind] for kind in ("train", "heldout", "skipped", "duplicates"))
    known = checks.Counts(*numbers)
    lines += checks.few_heldout(params, known)
    lines.append(
        f"prepare: {counts['train']} to train on, {counts['mirrored']} of them also mirrored,"
        f" {counts['heldout']} held out; {counts['converted']} converted to"
        f" {params.prepare.colour}, {counts['skipped']} skipped, {counts['duplicates']} duplicates"
        f" left out, {others.ignored} other files ignored"
        + (f"; not looked into: {', '.join(sorted(others.debris))}" if others.debris else "")
    )
    print("\n".join(lines), file=sys.stderr)  # noqa: T201
    checks.require_images(source, params, known)
    attributes = {"colour": params.prepare.colour, "resolution": params.prepare.resolution}
    parts.write(images, np.stack([row.pixels for row in rows]), _table(rows), attributes)
    files.write_json(metrics, counts)
    _estimate(params, known)


def _estimate(params: Params, counts: checks.Counts) -> None:
    """Say how long a run of DVC's takes, unless `lirf init` said so of these numbers.

    By a process of its own: the code that it times is nothing that the images depend on.
    """
    before, numbers = pace.read(), (counts.train, counts.heldout)
    if not stages.STARTED_BY_DVC or (before and before.key == pace.key(params, *numbers)):
        return
    command = [sys.executable, "-m", "stages.telling.estimate", *map(str, numbers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    print(done.stdout, end="", file=sys.stderr)  # noqa: T201


def _doubts(usable: list[tuple[ImageFile, Decoded]]) -> list[str]:
    """Say what may not be meant: of every kind of doubt the first file, and how many are alike."""
    doubtful: dict[str, list[str]] = {}
    for file, image in usable:
        for kind, doubt in image.doubts.items():
            doubtful.setdefault(kind, []).append(f"{file.name}: {doubt}")
    return [
        f"warning: {first}" + (f" (and {len(rest)} more such files)" if rest else "")
        for first, *rest in doubtful.values()
    ]


def _left_out(file: ImageFile, row: Row) -> str:
    """Say which file is left out, and which one it repeats."""
    twin = f"the mirror image of {row.file.name}" if row.flip else row.file.name
    leak = "held-out image " if file.split == "heldout" else ""
    return f"warning: left out {leak}{file.name}: identical to {twin}"


def _near(images: list[tuple[ImageFile, Decoded]], resolution: int) -> np.ndarray:
    """Return the places of near-duplicates, [P, 2], none where images are too small to tell."""
    if resolution < similar.LEAST_SIDE:
        return np.empty((0, 2), np.int64)
    return similar.pairs(similar.of_pixels([image.pixels for _, image in images]))


def _twins(
    originals: list[Row], images: list[tuple[ImageFile, Decoded]], near_P2: np.ndarray
) -> Twins:
    """Return the near-duplicates of which both are kept: across the splits, and within them."""
    kept = {row.file.name for row in originals}
    kept_N = np.array([file.name in kept for file, _ in images], bool)
    train_N = np.array([file.split == "train" for file, _ in images], bool)
    both_P2 = near_P2[kept_N[near_P2].all(axis=1)]
    apart_P = train_N[both_P2[:, 0]] != train_N[both_P2[:, 1]]
    return Twins(both_P2[apart_P], both_P2[~apart_P])


def _alike(twins: Twins, images: list[tuple[ImageFile, Decoded]]) -> Iterator[str]:
    """Say which images are nearly the same, first those that are on both sides."""
    for pair in twins.apart[:SHOWN]:
        held, trained = sorted((images[place][0] for place in pair), key=lambda file: file.split)
        yield (f"warning: held-out image {held.name} is nearly {trained.name}, which is trained on")
    for i, j in twins.together[: max(0, SHOWN - len(twins.apart))]:
        yield f"warning: {images[i][0].name} and {images[j][0].name} are nearly the same image"
    if twins.count > SHOWN:
        yield f"warning: {twins.count} pairs of images are nearly the same, see above for {SHOWN}"


def _table(rows: list[Row]) -> pa.Table:
    """Return the table of `rows`."""
    records = [
        {
            "id": row.id,
            "split": row.file.split,
            "source": row.file.name,
            "flip": row.flip,
            "sha256": row.image.sha256,
            "width": row.image.width,
            "height": row.image.height,
            "mode": row.image.mode,
            "done": f"{row.image.done}; mirrored" if row.flip else row.image.done,
        }
        for row in rows
    ]
    return pa.Table.from_pylist(records, schema=ROWS_SCHEMA)


if __name__ == "__main__":
    command.run(prepare)
