"""What is in a folder of images, found quickly: all headers, and as many whole as time allows."""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lirf.images import decode, folder, shades, similar
from lirf.images.decode import FORMATS, BadImage, Decoded
from lirf.images.folder import ImageFile, Others
from lirf.params import Prepare

GREY = frozenset({"1", "L", "LA", "I", "F"}) | shades.GREY_16_BIT
"""Pillow's modes without colour."""

LOT = 64
"""Images that are decoded between two looks at the clock."""

JUDGE = Prepare(
    images="any", resolution=8, colour="rgb", flip=False, on_bad_image="fail", max_megapixels=100.0
)
"""How an image is decoded that does not open at once."""

NAMED = 100
"""Pairs of near-duplicates, at most, that are named."""

SEEN = 4 * similar.SIDE
"""Px, at least, that a JPEG is decoded at: the rest would be thrown away."""


@dataclass(frozen=True)
class Facts:
    """Of one image file.

    Attributes:
        file: which one.
        size: (width, height) in px.
        grey: whether it has no colour.
    """

    file: ImageFile
    size: tuple[int, int]
    grey: bool

    @property
    def short(self) -> int:
        """Return its short side in px."""
        return min(self.size)


@dataclass(frozen=True)
class Survey:
    """What a folder holds.

    Attributes:
        images: those whose headers can be read.
        bad: the others, and those that could not be decoded: a line each.
        whole: how many were decoded.
        near: how many pairs of near-duplicates are among these.
        pairs: the first of them by name.
        others: what there is besides.
    """

    images: list[Facts]
    bad: list[str]
    whole: int
    near: int
    pairs: list[tuple[str, str]]
    others: Others

    def count(self, split: folder.Split) -> int:
        """Return how many images there are of a split."""
        return sum(one.file.split == split for one in self.images)

    @property
    def sides(self) -> tuple[int, int]:
        """Return the smallest and the largest short side in px."""
        shorts = [one.short for one in self.images]
        return min(shorts), max(shorts)

    @property
    def grey(self) -> bool:
        """Return whether no image has colour."""
        return all(one.grey for one in self.images)

    @property
    def classes(self) -> dict[str, int]:
        """Return the folders that images to train on lie in, and how many in each."""
        parents = (Path(one.file.name).parent for one in self.images if one.file.split == "train")
        return dict(sorted(Counter(parent.as_posix() for parent in parents).items()))


def survey(images: Path, seconds: float) -> Survey:
    """Look at a folder: every header, and images whole, in an order of no pattern, for `seconds`.

    Raises:
        ValueError: as `folder.find`.
    """
    found, others = folder.find(images)
    facts, bad = list[Facts](), list[str]()
    for file in found:
        one = _header(file)
        facts.append(one) if isinstance(one, Facts) else bad.append(one)
    order = np.random.default_rng(0).permutation(len(facts))
    names, thumbnails = list[str](), list[np.ndarray]()
    whole, begun = 0, time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(order), LOT):
            lot = [facts[place].file for place in order[start : start + LOT]]
            for file, seen in zip(lot, threads.map(_thumbnail, lot), strict=True):
                if isinstance(seen, str):
                    bad.append(seen)
                    continue
                names.append(file.name)
                thumbnails.append(seen)
            whole += len(lot)
            if time.monotonic() - begun > seconds:
                break
    rows_ND = np.array(thumbnails, np.float32).reshape(-1, similar.SIDE**2)
    by_name = np.argsort(np.array(names, object))
    near_P2 = similar.pairs(rows_ND[by_name])
    pairs = [(names[by_name[i]], names[by_name[j]]) for i, j in near_P2[:NAMED]]
    return Survey(facts, bad, whole, len(near_P2), pairs, others)


def _header(file: ImageFile) -> Facts | str:
    """Return what an image's header says, or why the image cannot be used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(file.path, formats=FORMATS) as image:
                return Facts(file, image.size, image.mode in GREY)
        except Exception:  # decoders let through whatever they run into
            found = _decoded(file)
    return found if isinstance(found, str) else Facts(file, (found.width, found.height), False)


def _thumbnail(file: ImageFile) -> np.ndarray | str:
    """Return the thumbnail of an image, or why the image cannot be used."""
    try:
        with Image.open(file.path, formats=FORMATS) as image:
            image.draft(None, (SEEN, SEEN))
            return similar.thumbnail(ImageOps.exif_transpose(image))
    except Exception:  # as above
        found = _decoded(file)
    return found if isinstance(found, str) else similar.of_pixels([found.pixels])[0]


def _decoded(file: ImageFile) -> Decoded | str:
    """Return an image as `prepare` decodes it, smaller, or why that refuses it."""
    try:
        return decode.load(file.path, JUDGE)
    except BadImage as error:
        return str(error)
