"""Sharpness: blur, which precision and density reward, shown for what it is."""

from __future__ import annotations

import numpy as np

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue in a grey value (ITU-R BT.601)."""


def sharpness(images_NCHW: np.ndarray) -> float:
    """Return the mean absolute difference of neighbouring pixels' grey values, 0 to 255.

    Of uint8 images, grey or RGB, over all pairs of pixels beside or above one another.
    """
    grey_NHW = images_NCHW[:, 0].astype(np.float64)
    if images_NCHW.shape[1] == 3:
        grey_NHW = np.einsum("nchw,c->nhw", images_NCHW.astype(np.float64), np.array(LUMA))
    along = [np.abs(np.diff(grey_NHW, axis=axis)) for axis in (1, 2)]
    return float(sum(steps.sum() for steps in along) / sum(steps.size for steps in along))
