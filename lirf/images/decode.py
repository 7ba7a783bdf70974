"""Image files to uint8 arrays: decoded whole, turned upright, cropped and resized.

What is done to every image, in this order:

1. Of several frames or pages the first is taken.
2. EXIF orientation is applied.
3. 16-bit grey is rescaled to 8 bits; 16-bit colour keeps its upper 8 bits.
4. Transparency is composited on white.
5. Colours become grey (ITU-R 601 luma) or RGB. Embedded colour profiles are not applied.
6. The centre square is kept.
7. The square is resized with Lanczos, antialiased, so the image's short side gets `resolution`.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lirf.params import Prepare

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
BACKGROUND = "white"
MODES = {"grey": "L", "rgb": "RGB"}
BYTES_PER_PIXEL, BYTES_BESIDES = 16, 64e6  # of a file, at most: pixels, and all that is none
GREY_16_BIT = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})


class BadImage(ValueError):  # noqa: N818 - the pipeline's own word: prepare.on_bad_image
    """An image that cannot be used; the message is one line that names the file and why."""


@dataclass(frozen=True)
class Decoded:
    """An image as the pipeline sees it, and what its file was.

    Attributes:
        pixels: uint8 [C, R, R], C is 1 (grey) or 3 (rgb), R is `prepare.resolution`.
        sha256: of the file's bytes.
        width: px, of the original, upright.
        height: px, of the original, upright.
        mode: Pillow's mode of the original.
        done: what was done to it, in words.
    """

    pixels: np.ndarray
    sha256: str
    width: int
    height: int
    mode: str
    done: str


def load(path: Path, prepare: Prepare) -> Decoded:
    """Read, check, decode and prepare one image.

    Raises:
        BadImage: the file is unreadable, empty, truncated, damaged or not an image, has more
            than `prepare.max_megapixels` or bytes for more, is smaller than
            `prepare.resolution`, or its pixels have no known white.
    """
    try:
        if not path.is_file():
            raise BadImage(f"{path}: missing, or not a regular file")
        most = prepare.max_megapixels * 1e6 * BYTES_PER_PIXEL + BYTES_BESIDES
        if path.stat().st_size > most:
            raise BadImage(
                f"{path}: {path.stat().st_size / 1e6:.0f} MB, more than any image of"
                f" prepare.max_megapixels = {prepare.max_megapixels:g} takes"
            )
        content = path.read_bytes()
    except OSError as error:
        raise BadImage(f"{path}: cannot be read ({error.strerror})") from None
    if not content:
        raise BadImage(f"{path}: empty (0 bytes)")
    with warnings.catch_warnings(record=True) as caught, _no_pixel_limit():
        warnings.simplefilter("always", UserWarning)
        try:
            mode, upright, notes = _decode(content, prepare)
            pixels_CHW, more = _fit(upright, prepare)
        except BadImage as error:
            raise BadImage(f"{path}: {error}") from None
        except UnidentifiedImageError:  # its text holds a memory address
            reason = "not a PNG, JPEG, WebP, TIFF or BMP image, or its header is damaged"
            raise BadImage(f"{path}: {reason}") from None
        except MemoryError:
            raise
        except Exception as error:  # decoders let through whatever they run into
            reason = " ".join(str(error).split()) or type(error).__name__
            raise BadImage(f"{path}: cannot be decoded ({reason})") from None
    notes += more + sorted({f"decoder warned: {warning.message}" for warning in caught})
    return Decoded(
        pixels=pixels_CHW,
        sha256=hashlib.sha256(content).hexdigest(),
        width=upright.width,
        height=upright.height,
        mode=mode,
        done="; ".join(notes) or "unchanged",
    )


@contextmanager
def _no_pixel_limit() -> Iterator[None]:
    """Put Pillow's own limit on the number of pixels out of force, for a while."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _decode(content: bytes, prepare: Prepare) -> tuple[str, Image.Image, list[str]]:
    """Return an image's mode, its first frame upright, and what was done to it."""
    notes: list[str] = []
    with Image.open(io.BytesIO(content), formats=FORMATS) as header:  # decodes no pixels
        megapixels = header.width * header.height / 1e6
        if megapixels > prepare.max_megapixels:
            raise BadImage(
                f"{header.width}x{header.height} px are {megapixels:.1f} megapixels, more than"
                f" prepare.max_megapixels = {prepare.max_megapixels:g}, which you may raise"
            )
        header.verify()  # the checksums of a PNG, which decoding skips
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            notes.append(f"first of {frames} frames")
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        image.load()  # TIFF turns itself upright here
        upright = ImageOps.exif_transpose(image)
        if orientation in range(2, 9):
            notes.append(f"turned upright (EXIF orientation {orientation})")
        return image.mode, upright, notes


def _fit(upright: Image.Image, prepare: Prepare) -> tuple[np.ndarray, list[str]]:
    """Return uint8 [C, R, R] of an upright image, and what was done to it."""
    side, R = min(upright.size), prepare.resolution
    if side < R:
        raise BadImage(
            f"{upright.width}x{upright.height} px, but the short side must have"
            f" prepare.resolution = {R}, which you may lower"
        )
    image, notes = _in_colour(upright, MODES[prepare.colour])
    if image.width != image.height:
        left, top = (image.width - side) // 2, (image.height - side) // 2
        notes.append(f"cropped from {image.width}x{image.height} to {side}x{side}")
        image = image.crop((left, top, left + side, top + side))
    if side != R:
        notes.append(f"resized from {side}x{side} to {R}x{R}")
        image = image.resize((R, R), Image.Resampling.LANCZOS)
    pixels_HWC = np.asarray(image).reshape(R, R, -1)
    return np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1)), notes


def _in_colour(image: Image.Image, mode: str) -> tuple[Image.Image, list[str]]:
    """Return `image` in `mode`, "L" or "RGB", and what was done to it."""
    original, notes = image.mode, list[str]()
    if original in GREY_16_BIT:
        values_HW = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((values_HW * 255 + 32767) // 65535).astype(np.uint8))
        notes.append("rescaled from 16 to 8 bits")
    elif original in ("I", "F"):
        raise BadImage(f"32-bit pixels (mode {original}) have no known white; save as 8-bit")
    elif image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, BACKGROUND)
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque.convert("RGB")
        notes.append(f"composited on {BACKGROUND}")
    if original != mode:
        notes.append(f"converted from {original} to {mode}")
    return image.convert(mode), notes
