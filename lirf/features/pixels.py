"""The pixel values themselves as features."""

from __future__ import annotations

import numpy as np


def extract(images_NCHW: np.ndarray) -> np.ndarray:
    """Return the pixels of uint8 images in [0, 1], float64 [N, F]."""
    if images_NCHW.dtype != np.uint8:
        raise ValueError(f"images must be uint8, got {images_NCHW.dtype}")
    return images_NCHW.reshape(len(images_NCHW), -1).astype(np.float64) / 255
