"""Images that are nearly the same: saved again, resized, brightened or moved by a little.

Two images are near-duplicates where their grey thumbnails correlate by `CORRELATION` or more.
Thumbnails forget what saving and resizing do to an image, and their correlation forgets brightness
and contrast. Two photographs of one kind of thing, even faces in one place, correlate by less.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 16
"""Of a thumbnail, px."""

LEAST_SIDE = 2 * SIDE
"""Smaller images are alike by nature: a few pixels tell nothing."""

CORRELATION = 0.95

BLOCK = 1024
"""Thumbnails that are compared with all others at a time."""


def thumbnail(image: Image.Image) -> np.ndarray:
    """Return an image's grey thumbnail, float32 [SIDE * SIDE], of mean 0 and length 1 (or 0)."""
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    grey_D = np.asarray(small, np.float32).ravel()
    grey_D = grey_D - grey_D.mean()
    return grey_D / max(float(np.linalg.norm(grey_D)), 1.0)


def of_pixels(pixels_NCHW: Sequence[np.ndarray]) -> np.ndarray:
    """Return the thumbnails of prepared images, uint8 [C, R, R], as rows [N, SIDE * SIDE]."""
    rows = [thumbnail(Image.fromarray(one.mean(axis=0).astype(np.uint8))) for one in pixels_NCHW]
    return np.array(rows, np.float32).reshape(-1, SIDE * SIDE)


def pairs(thumbnails_ND: np.ndarray) -> np.ndarray:
    """Return the places (i, j), i < j, of near-duplicates in order, int64 [P, 2]."""
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(thumbnails_ND), BLOCK):
        alike_BN = thumbnails_ND[start : start + BLOCK] @ thumbnails_ND[start:].T >= CORRELATION
        found.append(np.argwhere(np.triu(alike_BN, k=1)) + start)
    return np.concatenate(found)


def groups(count: int, pairs_P2: np.ndarray) -> np.ndarray:
    """Return a number for each of `count` images, [N], that all of a chain of pairs share."""
    edges = coo_array((np.ones(len(pairs_P2), bool), pairs_P2.T), shape=(count, count))
    return connected_components(edges, directed=False)[1]
