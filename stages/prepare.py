"""Turn a folder of images into one array of equal squares, and a row of facts for each."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from lirf.images import decode, folder
from lirf.images.decode import BadImage, Decoded
from lirf.images.folder import ImageFile, Row
from lirf.params import Params
from lirf.store import files, parts
from stages.support import command
from stages.support.command import Out
from stages.support.progress import track

LEAST = 3
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


def prepare(params: Params, images: Out, metrics: Out) -> None:
    """Prepare the images below `prepare.images`: training rows first, then the held-out ones.

    Writes uint8 [N, C, R, R] with its table to `images`, and how many images there were of
    each kind to `metrics`. What is left out, skipped, repeated or doubtful, is named on standard
    error. The folder is no option: a shell would read its name.

    Raises:
        ValueError: the folder or one of its images cannot be used, or too few are left.
    """
    source = Path(params.prepare.images)
    found, others = folder.find(source)
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
    rows, repeats = folder.distinct(usable, params.prepare.flip)
    originals = [row for row in rows if not row.flip]
    counts = {
        "train": sum(row.file.split == "train" for row in originals),
        "heldout": sum(row.file.split == "heldout" for row in originals),
        "mirrored": len(rows) - len(originals),
        "skipped": len(skipped),
        "duplicates": len(repeats),
        "converted": sum("converted from" in row.image.done for row in originals),
    }
    lines = [f"warning: skipped {error}" for error in skipped]
    lines += [_left_out(file, row) for file, row in repeats]
    lines += [*_doubts(usable), *(f"warning: {line}" for line in others.lines())]
    lines.append(
        f"prepare: {counts['train']} to train on, {counts['mirrored']} of them also mirrored,"
        f" {counts['heldout']} held out; {counts['converted']} converted to"
        f" {params.prepare.colour}, {counts['skipped']} skipped, {counts['duplicates']} duplicates"
        f" left out, {others.ignored} other files ignored"
        + (f"; not looked into: {', '.join(sorted(others.debris))}" if others.debris else "")
    )
    print("\n".join(lines), file=sys.stderr)  # noqa: T201
    _require_enough(source, params, counts)
    attributes = {"colour": params.prepare.colour, "resolution": params.prepare.resolution}
    parts.write(images, np.stack([row.pixels for row in rows]), _table(rows), attributes)
    files.write_json(metrics, counts)


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


def _require_enough(source: Path, params: Params, counts: dict[str, int]) -> None:
    """Raise unless every training image can have the neighbours that later stages look up."""
    needed = {
        "correct.neighbours": params.correct.neighbours,
        "autoencoder.manifold_neighbours": params.autoencoder.manifold_neighbours,
    }
    key, most = max(needed.items(), key=lambda one: one[1])
    least = max(LEAST, most + 1)
    remedy = f"add images or lower {key} = {most}" if least > LEAST else "add images"
    if counts["train"] < least:
        raise ValueError(
            f"{source}: {counts['train']} training images ({counts['skipped']} skipped,"
            f" {counts['duplicates']} duplicates left out), at least {least} needed; {remedy}"
        )


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
