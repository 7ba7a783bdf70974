"""Pictures of small images: grids, pairs, neighbours, captions, bytes that never change.

Images are uint8 NCHW with one channel (grey) or three (RGB). Small images are enlarged by whole
factors without interpolation, so that every pixel that a model produced can be seen.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TILE = 48
"""Least side of an enlarged image, in px."""
LOSSLESS = 32
"""Largest side of an image that goes into a page pixel by pixel, in px."""
GAP = 3
"""Space between tiles, in px."""
MARGIN = 12
"""Space around captions and between whole pictures, in px."""
BACKGROUND = (255, 255, 255)
INK = (32, 32, 32)
MARK = (213, 94, 0)  # vermilion of the Okabe-Ito palette: told apart by every kind of eye


def grid(
    images_NCHW: np.ndarray,
    columns: int,
    scale: int | None = None,
    marked: Sequence[bool] | None = None,
) -> Image.Image:
    """Lay images out in rows of `columns`, in their order; the last row may be short.

    `scale` is a whole factor of enlargement, by default the least that makes a tile TILE px.
    With `marked`, images stand further apart and those that are marked have a frame.
    """
    tiles = enlarge(images_NCHW, scale)
    if columns < 1:
        raise ValueError(f"columns = {columns}: a grid needs at least one column")
    gap = GAP if marked is None else 3 * GAP
    framed = np.array(tiles.shape[1:3]) + 2 * GAP
    steps = framed - 2 * GAP + gap
    count = np.array([math.ceil(len(tiles) / columns), columns])
    height, width = (count - 1) * steps + framed
    canvas = np.full((height, width, 3), BACKGROUND, np.uint8)
    for i, (tile, mark) in enumerate(zip(tiles, marked or [False] * len(tiles), strict=True)):
        top, left = np.array(divmod(i, columns)) * steps
        place = canvas[top : top + framed[0], left : left + framed[1]]
        if mark:
            place[:] = MARK
        place[GAP:-GAP, GAP:-GAP] = tile
    return Image.fromarray(canvas)


def pairs(
    upper_NCHW: np.ndarray, lower_NCHW: np.ndarray, columns: int, scale: int | None = None
) -> Image.Image:
    """Show image i of `upper` directly above image i of `lower`, `columns` pairs in a row."""
    if upper_NCHW.shape != lower_NCHW.shape:
        raise ValueError(
            f"pairs need equal shapes, got {upper_NCHW.shape} above {lower_NCHW.shape}"
        )
    blocks = [
        stack(
            [grid(half[i : i + columns], columns, scale) for half in (upper_NCHW, lower_NCHW)],
            gap=-GAP,  # the two share one gap
        )
        for i in range(0, len(upper_NCHW), columns)
    ]
    return stack(blocks, gap=MARGIN)


def neighbours(
    samples_RCHW: np.ndarray,
    nearest_RKCHW: np.ndarray,
    notes: Sequence[str],
    marked: Sequence[bool],
    scale: int | None = None,
) -> Image.Image:
    """Show each sample in a row of its own, followed by its K nearest training images and a note.

    A marked row gets a frame around the sample and its nearest image, and its note in the
    colour of the frame.
    """
    if not len(samples_RCHW) == len(nearest_RKCHW) == len(notes) == len(marked):
        raise ValueError(
            f"one row each, got {len(samples_RCHW)} samples, {len(nearest_RKCHW)} sets of"
            f" neighbours, {len(notes)} notes and {len(marked)} marks"
        )
    rows = [
        _neighbour_row(sample, nearest, note, mark, scale)
        for sample, nearest, note, mark in zip(
            samples_RCHW, nearest_RKCHW, notes, marked, strict=True
        )
    ]
    return stack(rows, gap=GAP)


def _neighbour_row(
    sample_CHW: np.ndarray, nearest_KCHW: np.ndarray, note: str, mark: bool, scale: int | None
) -> Image.Image:
    """Draw one row of `neighbours`."""
    left = grid(sample_CHW[None], 1, scale, [mark])
    first_only = [mark, *[False] * (len(nearest_KCHW) - 1)]
    right = grid(nearest_KCHW, len(nearest_KCHW), scale, first_only)
    text = _text(note, MARK if mark else INK, size=13)
    blank = _blank(text.width, (left.height - text.height) // 2)
    return beside([left, right, stack([blank, text], gap=0)], gap=MARGIN)


def captioned(image: Image.Image, *lines: str, size: int = 14) -> Image.Image:
    """Put lines of text above an image, with a margin all around."""
    return stack(
        [stack([_text(line, INK, size) for line in lines], gap=2), image], gap=8, margin=MARGIN
    )


def stack(images: Sequence[Image.Image], gap: int, margin: int = 0) -> Image.Image:
    """Put images under one another, aligned on the left."""
    height = sum(image.height for image in images) + gap * (len(images) - 1)
    canvas = _blank(max(image.width for image in images) + 2 * margin, height + 2 * margin)
    top = margin
    for image in images:
        canvas.paste(image, (margin, top))
        top += image.height + gap
    return canvas


def beside(images: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Put images side by side, aligned at the top."""
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    canvas = _blank(width, max(image.height for image in images))
    left = 0
    for image in images:
        canvas.paste(image, (left, 0))
        left += image.width + gap
    return canvas


def single(image_CHW: np.ndarray) -> Image.Image:
    """Return one image as it is, grey or RGB."""
    return Image.fromarray(image_CHW[0] if len(image_CHW) == 1 else image_CHW.transpose(1, 2, 0))


def save(image: Image.Image, path: Path) -> None:
    """Write a PNG whose bytes depend on the pixels alone."""
    plain = Image.frombytes(image.mode, image.size, image.tobytes())  # leaves metadata behind
    plain.save(path, format="PNG", compress_level=9)


def data_uri(image_CHW: np.ndarray, most: int) -> str:
    """Return an image as a data URI that a page can hold, its sides at most `most` px.

    PNG up to LOSSLESS px, so that every pixel can be seen, WebP beyond.
    """
    image = Image.fromarray(enlarge(image_CHW[None], scale=1)[0])
    if len(image_CHW) == 1:
        image = image.convert("L")
    image.thumbnail((most, most), Image.Resampling.LANCZOS)
    kind, buffer = "png" if max(image.size) <= LOSSLESS else "webp", io.BytesIO()
    image.save(buffer, kind, **({"optimize": True} if kind == "png" else {"quality": 88}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def enlarge(images_NCHW: np.ndarray, scale: int | None = None) -> np.ndarray:
    """Return the images as RGB tiles, uint8 [N, H * scale, W * scale, 3], nearest neighbour."""
    if images_NCHW.ndim != 4 or images_NCHW.shape[1] not in (1, 3):
        raise ValueError(f"images must be [N, 1 or 3, H, W], got shape {images_NCHW.shape}")
    if images_NCHW.dtype != np.uint8:
        raise ValueError(f"images must be uint8, got {images_NCHW.dtype}")
    if len(images_NCHW) == 0:
        raise ValueError("there are no images to show")
    if scale is None:
        scale = max(1, math.ceil(TILE / min(images_NCHW.shape[2:])))
    n, _, h, w = images_NCHW.shape
    rgb_NHWC = np.broadcast_to(images_NCHW, (n, 3, h, w)).transpose(0, 2, 3, 1)
    return rgb_NHWC.repeat(scale, axis=1).repeat(scale, axis=2)


def _blank(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), BACKGROUND)


def _text(line: str, colour: tuple[int, int, int], size: int) -> Image.Image:
    """Render one line in Pillow's own font."""
    font = ImageFont.load_default(size)
    left, _, right, _ = font.getbbox(line or " ")
    image = _blank(math.ceil(right - left) + 2, math.ceil(size * 1.35))
    ImageDraw.Draw(image).text((1 - left, 0), line, fill=colour, font=font)
    return image
