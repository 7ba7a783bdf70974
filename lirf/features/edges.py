"""Histograms of oriented gradients, which see shapes and forgive shading (Dalal, Triggs 2005)."""

from __future__ import annotations

import numpy as np
from skimage.feature import hog

ORIENTATIONS, CELLS, BLOCK = 8, 8, 2
"""Directions, cells along a side, cells along a side that are normalised together."""

LEAST_CELL = 2
"""Least side of a cell, in px."""


def extract(images_NCHW: np.ndarray) -> np.ndarray:
    """Return the histograms of uint8 images, float64 [N, F].

    CELLS x CELLS cells, fewer in images below 16 px.
    """
    side = images_NCHW.shape[-1]
    cell = max(LEAST_CELL, side // CELLS)
    block = min(BLOCK, side // cell)
    rows = [
        hog(image_CHW, ORIENTATIONS, (cell, cell), (block, block), channel_axis=0)
        for image_CHW in images_NCHW
    ]
    return np.stack(rows).astype(np.float64)
