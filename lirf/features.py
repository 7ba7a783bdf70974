"""The space in which images are compared: pixels, or the autoencoder's scaled latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Features:
    """A map from images, uint8 NCHW, to features, float64 [N, F].

    `name` and `hash` go into the protocol of every comparison; `hash` is the fingerprint of the
    weights behind the features, or None where there are none.
    """

    name: str
    hash: str | None
    extract: Callable[[np.ndarray], np.ndarray]


def pixels() -> Features:
    """Return the pixel values themselves, in [0, 1]."""
    return Features("pixels", None, _flat_pixels)


def latents(fingerprint: str, encode: Callable[[np.ndarray], np.ndarray]) -> Features:
    """Return the scaled latents that `encode` makes of uint8 images, flattened.

    `fingerprint` is the autoencoder's.
    """

    def extract(images_NCHW: np.ndarray) -> np.ndarray:
        return _flat(encode(images_NCHW))

    return Features("latents", fingerprint, extract)


def mirror(images_NCHW: np.ndarray) -> np.ndarray:
    """Return the images with left and right exchanged."""
    return np.ascontiguousarray(images_NCHW[..., ::-1])


def _flat_pixels(images_NCHW: np.ndarray) -> np.ndarray:
    if images_NCHW.dtype != np.uint8:
        raise ValueError(f"images must be uint8, got {images_NCHW.dtype}")
    return _flat(images_NCHW) / 255


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).astype(np.float64)
