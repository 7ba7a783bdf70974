"""Samples beside their nearest training images: what they can have memorised, and a picture of it.

Images are uint8 NCHW.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from lirf.images.transforms import mirror
from lirf.measure.memorised import Memorised
from lirf.report import pictures


def versions(
    train_NCHW: np.ndarray, round_trip: Callable[[np.ndarray], np.ndarray]
) -> list[np.ndarray]:
    """Return all that can be memorised: the images, mirrored, and both after the round trip.

    `round_trip` is the autoencoder's: a blurred image of the training set is not a new one.
    """
    plain = [train_NCHW, mirror(train_NCHW)]
    return [*plain, *(round_trip(images_NCHW) for images_NCHW in plain)]


def mirrored(version: np.ndarray) -> np.ndarray:
    """Return which of `versions` are mirror images, of the image or of its round trip."""
    return version % 2 == 1


def panel(
    samples_RCHW: np.ndarray, train_NCHW: np.ndarray, memorised: Memorised, notes: Sequence[str]
) -> Image.Image:
    """Draw a row for each sample: itself, its nearest training images, a note.

    The first R rows of `memorised` are those of the samples, of the `versions` of `train_NCHW`.
    Memorised ones are framed; an image that is nearest mirrored is shown so.
    """
    count = len(samples_RCHW)
    index_RK = memorised.nearest[:count]
    nearest_RKCHW = np.where(
        mirrored(memorised.version[:count])[..., None, None, None],
        mirror(train_NCHW)[index_RK],
        train_NCHW[index_RK],
    )
    return pictures.neighbours(
        samples_RCHW, nearest_RKCHW, notes, memorised.memorised[:count].tolist()
    )
