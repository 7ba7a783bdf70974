"""JPEGs that end too early: some lack only the two bytes of the end marker."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

END = b"\xff\xd9"
FILLERS = (b"", b"\x55\x55\x55\x55", b"\xaa\xaa\xaa\xaa")
"""What a complete image never gets to, while an incomplete one differs with each."""


def ended(content: bytes) -> Image.Image | None:
    """Return the image of a JPEG without an end marker, or None if any of its pixels are missing.

    Raises:
        OSError: it is damaged elsewhere.
    """
    images: list[Image.Image] = []
    for filler in FILLERS:
        file = io.BytesIO(content.removesuffix(END[:1]) + filler + END)
        with Image.open(file, formats=["JPEG"]) as image:
            image.load()
            images.append(image)
    first, *others = (np.asarray(image) for image in images)
    return images[0] if all(np.array_equal(first, other) for other in others) else None
