"""Pixels of more than 8 bits a sample: to 8 bits, and whether they use what they have."""

from __future__ import annotations

import numpy as np
from PIL import Image

GREY_16_BIT = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
LEAST_BITS, MOST_BITS = 8, 14
"""16-bit values that need no more than `MOST_BITS` come out at a quarter of white or less."""


def eight_bits(image: Image.Image, bits: int, white_is_zero: bool) -> Image.Image:
    """Return a grey image of `bits` a sample in 8, with alpha where a shade is transparent."""
    values_HW, most = np.asarray(image).astype(np.uint32), 2**bits - 1
    shown_HW = most - values_HW if white_is_zero else values_HW
    grey = Image.fromarray(((shown_HW * 255 + most // 2) // most).astype(np.uint8))
    if "transparency" not in image.info:
        return grey
    opaque_HW = values_HW != image.info["transparency"]
    return Image.merge("LA", [grey, Image.fromarray(opaque_HW.astype(np.uint8) * 255)])


def doubt(image: Image.Image, bits: int) -> str | None:
    """Say that an image of 16 bits a sample uses so few of them that it comes out dark.

    Cameras of 10, 12 or 14 bits often write so. Of colours only the upper 8 bits are known.
    """
    if bits != 16 or image.mode not in {*GREY_16_BIT, "L", "LA", "RGB", "RGBA"}:
        return None
    if image.mode in GREY_16_BIT:
        highest = int(np.asarray(image).max())
    else:
        highest = int(np.asarray(image.convert("RGB")).max()) * 256 + 255
    used = max(highest.bit_length(), LEAST_BITS)
    if used > MOST_BITS:
        return None
    return (
        f"its 16-bit values end at {highest} of 65535, so it comes out dark;"
        f" if white is {2**used - 1}, multiply them by {2 ** (16 - used)}"
    )
