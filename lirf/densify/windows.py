"""Windows of latents: overlapping squares, each with those of other latents at nearly its place.

A square is a small part of an image, of which there are few kinds: near it lie real ones of many
images, where near a whole latent lies none. So a latent whose squares are corrected one by one is a
new combination of real parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """A square of latents [C, H, W]: its rows and columns, and how far its likes may lie aside."""

    top: int
    left: int
    side: int
    reach: int

    def of(self, z_NCHW: np.ndarray) -> np.ndarray:
        """Return this square of every latent, a view [N, C, side, side]."""
        return z_NCHW[:, :, self.top : self.top + self.side, self.left : self.left + self.side]

    def likes(self, z_NCHW: np.ndarray) -> np.ndarray:
        """Return the squares of every latent at most `reach` aside, [S, N, C, side, side]."""
        height, width = z_NCHW.shape[2:]
        return np.stack(
            [
                Window(top, left, self.side, 0).of(z_NCHW)
                for top in _near(self.top, height - self.side, self.reach)
                for left in _near(self.left, width - self.side, self.reach)
            ]
        )


def cover(height: int, width: int, side: int, reach: int) -> Iterator[Window]:
    """Yield windows that cover a latent, half a side apart, the last ones at its border."""
    for top in _starts(height, side):
        for left in _starts(width, side):
            yield Window(top, left, side, reach)


def _starts(length: int, side: int) -> list[int]:
    return sorted({*range(0, length - side, max(1, side // 2)), length - side})


def _near(place: int, last: int, reach: int) -> range:
    return range(max(0, place - reach), min(last, place + reach) + 1)
