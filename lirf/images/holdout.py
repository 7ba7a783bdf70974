"""Hold out a share of images where their folder says of none that it is held out."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lirf.images.decode import Decoded
from lirf.images.folder import ImageFile


def draw(
    images: Sequence[tuple[ImageFile, Decoded]], group_N: np.ndarray, share: float, seed: int
) -> list[tuple[ImageFile, Decoded]]:
    """Return the images with about `share` of them held out, at least one.

    Identical images, and those of one group (`group_N`, [N]), stay on one side. An image's place in
    the draw follows from `seed` and its own pixels: more images move few of the others.
    """
    members = defaultdict[int, list[int]](list)
    for place, group in enumerate(_joined(images, group_N)):
        members[group].append(place)
    order = sorted(
        members.values(), key=lambda places: min(_lot(images[place][1], seed) for place in places)
    )
    most, chosen = count(len(images), share), set[int]()
    for places in order:
        if len(chosen) >= most:
            break
        chosen.update(places)
    return [
        (replace(file, split="heldout") if place in chosen else file, image)
        for place, (file, image) in enumerate(images)
    ]


def count(images: int, share: float) -> int:
    """Return how many of so many images are held out, groups apart: at least one."""
    return max(1, round(share * images))


def _joined(images: Sequence[tuple[ImageFile, Decoded]], group_N: np.ndarray) -> list[int]:
    """Return the group of each image, the same for images with the same pixels."""
    first: dict[bytes, int] = {}
    return [
        first.setdefault(image.pixels.tobytes(), int(group))
        for (_, image), group in zip(images, group_N, strict=True)
    ]


def _lot(image: Decoded, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} ".encode() + image.pixels.tobytes()).digest()
