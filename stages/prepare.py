"""Turn a folder of images into one array of equal squares, and a row of facts for each."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from lirf.images import reading as imaging
from lirf.images.reading import BadImage, PreparedImage, Row
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


def prepare(params: Params, source: Path, images: Out, metrics: Out) -> None:
    """Prepare the images below `source`: training rows first, then the held-out ones.

    Writes uint8 [N, C, R, R] with its table to `images`, and how many images there were of
    each kind to `metrics`. What is left out, skipped or repeated, is named on standard error.

    Raises:
        ValueError: the folder or one of its images cannot be used, or too few are left.
    """
    found, others = imaging.find(source)
    usable: list[PreparedImage] = []
    bad: list[BadImage] = []
    for file in track(found, len(found), "prepare"):
        try:
            usable.append(imaging.load(file, params.prepare))
        except BadImage as error:
            if params.prepare.on_bad_image == "fail":
                raise ValueError(
                    f"{error}; fix or remove the file, or set prepare.on_bad_image: skip"
                ) from None
            bad.append(error)
    rows, repeats = imaging.distinct(usable, params.prepare.flip)
    counts = _count(rows, len(bad), len(repeats))
    _report(bad, repeats, counts, others, params.prepare.colour)
    _require_enough(source, params, counts)
    attributes = {"colour": params.prepare.colour, "resolution": params.prepare.resolution}
    parts.write(images, np.stack([row.pixels for row in rows]), _table(rows), attributes)
    files.write_json(metrics, counts)


def _count(rows: list[Row], skipped: int, duplicates: int) -> dict[str, int]:
    """Return how many images there are of each kind; mirror images count in `mirrored` alone."""
    originals = [row.image for row in rows if not row.flip]
    return {
        "train": sum(image.file.split == "train" for image in originals),
        "heldout": sum(image.file.split == "heldout" for image in originals),
        "mirrored": len(rows) - len(originals),
        "skipped": skipped,
        "duplicates": duplicates,
        "converted": sum("converted from" in image.done for image in originals),
    }


def _report(
    bad: list[BadImage],
    repeats: list[tuple[PreparedImage, Row]],
    counts: dict[str, int],
    others: int,
    colour: str,
) -> None:
    """Say on standard error what was left out, and sum up."""
    lines = [f"warning: skipped {error}" for error in bad]
    for image, row in repeats:
        twin = f"the mirror image of {row.image.file.name}" if row.flip else row.image.file.name
        leak = "held-out image " if image.file.split == "heldout" else ""
        lines.append(f"warning: left out {leak}{image.file.name}: identical to {twin}")
    lines.append(
        f"prepare: {counts['train']} to train on, {counts['mirrored']} of them also mirrored,"
        f" {counts['heldout']} held out; {counts['converted']} converted to {colour},"
        f" {counts['skipped']} skipped, {counts['duplicates']} duplicates left out,"
        f" {others} other files ignored"
    )
    print("\n".join(lines), file=sys.stderr)  # noqa: T201


def _require_enough(source: Path, params: Params, counts: dict[str, int]) -> None:
    """Raise unless every training image can have the neighbours that later stages look up."""
    least, remedy = max(
        (LEAST, "add images"),
        (
            params.correct.neighbours + 1,
            f"add images or lower correct.neighbours = {params.correct.neighbours}",
        ),
        (
            params.autoencoder.manifold_neighbours + 1,
            "add images or lower autoencoder.manifold_neighbours ="
            f" {params.autoencoder.manifold_neighbours}",
        ),
    )
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
            "split": row.image.file.split,
            "source": row.image.file.name,
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
