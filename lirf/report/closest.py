"""Images beside their nearest training images, nearest first: a picture, a page or a table.

The page is one HTML file that holds its pictures and asks nothing of any network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from PIL import Image

from lirf.images.transforms import mirror
from lirf.measure.memorised import Memorised
from lirf.measure.nearest import mirrored, panel
from lirf.report import pictures, tables

TEMPLATE = Path(__file__).with_name("closest.html")
SIDE = 192  # of an image on the page at most, px


@dataclass(frozen=True)
class Closest:
    """Images by their distance to the nearest training image, and the names of all files.

    Rows of `found` are those of `images`; it points into `train`.
    """

    images: np.ndarray  # uint8 [R, C, H, W]
    names: Sequence[str]
    train: np.ndarray  # uint8 [N, C, H, W]
    train_names: Sequence[str]
    found: Memorised

    def picture(self) -> Image.Image:
        """Draw a row for each image: itself, its nearest training images, a note."""
        found = self.found
        notes = [
            f"{distance:.2f}, {ratio:.2f}{' memorised' if copied else ''}"
            for distance, ratio, copied in zip(
                found.distance[:, 0], found.ratio, found.memorised, strict=True
            )
        ]
        return pictures.captioned(
            panel(self.images, self.train, found, notes),
            f"{len(notes)} images, each beside its {found.nearest.shape[1]} nearest training ones.",
            "Numbers: distance to the nearest in pixels (0 to 1 each); over that",
            "to the second, no near-duplicate: below 1/3 memorised (framed).",
        )

    def table(self) -> str:
        """Return a line for each image: its file, and those of its nearest, as TSV."""
        rows = [
            {"file": row["name"], "memorised": row["memorised"], "ratio": row["ratio"]}
            | {
                f"{key}{place}": one[key]
                for place, one in enumerate(row["nearest"], start=1)
                for key in ("nearest", "distance", "mirrored")
            }
            for row in self._rows()
        ]
        return tables.tsv(rows, write=_cell)

    def page(self) -> str:
        """Return the page."""
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        known = {int(i): self.train[i] for i in np.unique(self.found.nearest)}
        uris = {
            (i, flipped): pictures.data_uri(mirror(one[None])[0] if flipped else one, SIDE)
            for i, one in known.items()
            for flipped in (False, True)
        }
        return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
            rows=self._rows(),
            images=[pictures.data_uri(image_CHW, SIDE) for image_CHW in self.images],
            uris=uris,
        )

    def _rows(self) -> list[dict[str, Any]]:
        found = self.found
        flipped_RK = mirrored(found.version)
        return [
            {
                "name": name,
                "memorised": bool(found.memorised[row]),
                "ratio": float(found.ratio[row]),
                "nearest": [
                    {
                        "place": int(place),
                        "nearest": self.train_names[place],
                        "distance": float(distance),
                        "mirrored": bool(flipped),
                    }
                    for place, distance, flipped in zip(
                        found.nearest[row], found.distance[row], flipped_RK[row], strict=True
                    )
                ],
            }
            for row, name in enumerate(self.names)
        ]


def closest(
    images_MCHW: np.ndarray,
    names: Sequence[str],
    train_NCHW: np.ndarray,
    train_names: Sequence[str],
    memorised: Memorised,
    most: int,
) -> Closest:
    """Return the `most` images that are nearest to a training image, nearest first."""
    order_R = np.argsort(memorised.distance[:, 0], kind="stable")[:most]
    found = Memorised(
        memorised.nearest[order_R],
        memorised.version[order_R],
        memorised.distance[order_R],
        memorised.ratio[order_R],
        memorised.memorised[order_R],
        memorised.limit,
    )
    shown = [names[int(row)] for row in order_R]
    return Closest(images_MCHW[order_R], shown, train_NCHW, train_names, found)


def _cell(value: Any) -> str:
    """Return a cell: six digits of a number, and a name in quotes where it would break a line."""
    return tables.short(value) if isinstance(value, float) else tables.exact(value)
