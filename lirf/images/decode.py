"""Image files to uint8 arrays: decoded whole, turned upright, cropped and resized.

What is done to every image, in this order:

1. Of several frames or pages the first is taken; smaller versions of a TIFF's page are none.
2. EXIF orientation is applied.
3. Grey of 12 or 16 bits is rescaled to 8 bits; 16-bit colour keeps its upper 8 bits.
4. Transparency is composited on white.
5. Colours become grey (ITU-R 601 luma) or RGB. Embedded colour profiles are not applied.
6. The centre square is kept.
7. The square is resized with Lanczos, antialiased, so the image's short side gets `resolution`.

Pixels that this would not give their right colours are refused, see `lirf.images.tiff`.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from lirf.images import jpeg, kinds, shades, tiff
from lirf.params import Prepare

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
BACKGROUND = "white"
JPEGS = ("JPEG", "MPO")
PNG_BITS = 24  # the place of the bits a sample in a PNG
MODES = {"grey": "L", "rgb": "RGB"}
BYTES_PER_PIXEL, BYTES_BESIDES = 16, 64e6  # of a file, at most: pixels, and all that is none


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
        doubts: what its owner may not have meant, with the remedy, by kind.
    """

    pixels: np.ndarray
    sha256: str
    width: int
    height: int
    mode: str
    done: str
    doubts: Mapping[str, str] = field(default_factory=dict)


def load(path: Path, prepare: Prepare) -> Decoded:
    """Read, check, decode and prepare one image.

    Raises:
        BadImage: the file is unreadable, empty, truncated, damaged or not an image, has more
            than `prepare.max_megapixels` or bytes for more, is smaller than
            `prepare.resolution`, or its pixels are of a kind that would come out wrong.
    """
    content = _read(path, prepare)
    notes, doubts = list[str](), dict[str, str]()
    with warnings.catch_warnings(record=True) as caught, _no_pixel_limit():
        warnings.simplefilter("always", UserWarning)
        try:
            mode, upright = _decode(content, prepare, notes, doubts)
            pixels_CHW = _fit(upright, mode, prepare, notes)
        except BadImage as error:
            raise BadImage(f"{path}: {error}") from None
        except UnidentifiedImageError:  # its text holds a memory address
            raise BadImage(f"{path}: {_unidentified(content)}") from None
        except MemoryError:
            raise
        except Exception as error:  # decoders let through whatever they run into
            reason = " ".join(str(error).split()) or type(error).__name__
            raise BadImage(f"{path}: cannot be decoded ({reason})") from None
    notes += sorted({f"decoder warned: {warning.message}" for warning in caught})
    return Decoded(
        pixels=pixels_CHW,
        sha256=hashlib.sha256(content).hexdigest(),
        width=upright.width,
        height=upright.height,
        mode=mode,
        done="; ".join(notes) or "unchanged",
        doubts=doubts,
    )


def _read(path: Path, prepare: Prepare) -> bytes:
    """Return the bytes of a file that is not too large for an image."""
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
    return content


@contextmanager
def _no_pixel_limit() -> Iterator[None]:
    """Put Pillow's own limit on the number of pixels out of force, for a while."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _unidentified(content: bytes) -> str:
    """Say what a file is that Pillow does not open as an image of `FORMATS`."""
    kind = kinds.signature(content[: kinds.LONGEST])
    if kind == "TIFF" and (page := tiff.first_page(content)):
        return _unread_pixels(page)
    if kind is None or kind in kinds.READ:
        return f"not a {kinds.LISTED} image, or its header is damaged"
    return f"its content is {kind}, which is not read; {kinds.remedy(kind)}"


def _unread_pixels(page: tiff.Page) -> str:
    return f"a TIFF of {page}, which are not read; save it as 8-bit grey or RGB"


def _decode(
    content: bytes, prepare: Prepare, notes: list[str], doubts: dict[str, str]
) -> tuple[str, Image.Image]:
    """Return an image's mode, and its first frame upright with at most 8 bits a sample.

    What is done to it goes to `notes`, what is doubtful to `doubts`.
    """
    with Image.open(io.BytesIO(content), formats=FORMATS) as header:  # decodes no pixels
        _check_size(header, prepare)
        header.verify()  # the checksums of a PNG, which decoding skips
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        page = _choose(image, notes, doubts)
        _check_size(image, prepare)
        if image.mode == "CMYK" and image.format in JPEGS and "adobe" not in image.info:
            raise BadImage("CMYK without Adobe's mark: 0 may be all ink or none; save it as RGB")
        bits = page.bits if page else _bits(image, content)
        if image.mode == "RGB" and bits == 16 and "transparency" in image.info:
            raise BadImage("one of its 16-bit colours is transparent; save it with alpha instead")
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        loaded = _loaded(image, page, content, notes)  # TIFF turns itself upright here
        upright = ImageOps.exif_transpose(loaded)
        if orientation in range(2, 9):
            notes.append(f"turned upright (EXIF orientation {orientation})")
        if doubt := shades.doubt(upright, bits):
            doubts["dark"] = doubt
        white_is_zero = page is not None and page.photometric == tiff.WHITE_IS_ZERO
        if upright.mode in shades.GREY_16_BIT:
            notes.append(f"rescaled from {bits} to 8 bits")
            upright = shades.eight_bits(upright, bits, white_is_zero)
        return image.mode, upright


def _choose(image: Image.Image, notes: list[str], doubts: dict[str, str]) -> tiff.Page | None:
    """Go to the frame that is the image, and return its page where it is one of a TIFF."""
    pages = tiff.pages(image) if isinstance(image, TiffImageFile) else []
    whole = [place for place, page in enumerate(pages) if not page.part]
    if pages and not whole:
        raise BadImage("a TIFF of thumbnails only, as in camera raw files; save it as PNG")
    count, unit = getattr(image, "n_frames", 1), "frames"
    if pages:
        count, unit = max(len(whole), pages[whole[0]].images), "pages"
    if count > 1:
        notes.append(f"first of {count} {unit}")
        if image.format != "MPO":  # a photograph with previews of itself
            doubts["frames"] = f"first of {count} {unit} taken; save each to a file of its own"
    if not pages:
        return None
    page = pages[whole[0]]
    if page.misread:
        raise BadImage(_unread_pixels(page))
    try:
        image.seek(whole[0])
    except SyntaxError:  # Pillow's word for pixels that it does not read
        raise BadImage(_unread_pixels(page)) from None
    return page


def _bits(image: Image.Image, content: bytes) -> int:
    """Return 16 if a sample of an image that is no TIFF has so many bits, else 8."""
    deep = image.format == "PNG" and content[PNG_BITS] == 16
    return 16 if deep or image.mode in shades.GREY_16_BIT else 8


def _check_size(image: Image.Image, prepare: Prepare) -> None:
    megapixels = image.width * image.height / 1e6
    if megapixels > prepare.max_megapixels:
        raise BadImage(
            f"{image.width}x{image.height} px are {megapixels:.1f} megapixels, more than"
            f" prepare.max_megapixels = {prepare.max_megapixels:g}, which you may raise"
        )


def _loaded(
    image: Image.Image, page: tiff.Page | None, content: bytes, notes: list[str]
) -> Image.Image:
    """Return the image with its pixels, also where a JPEG lacks nothing but its end marker."""
    try:
        image.load()
    except OSError:
        whole = jpeg.ended(content) if image.format == "JPEG" else None
        if whole is None:
            raise
        notes.append("its end marker was missing")
        return whole
    except ValueError as error:
        if page is None or "raw mode" not in str(error):
            raise
        raise BadImage(_unread_pixels(page)) from None
    return image


def _fit(upright: Image.Image, original: str, prepare: Prepare, notes: list[str]) -> np.ndarray:
    """Return uint8 [C, R, R] of an upright image whose file had mode `original`."""
    side, R = min(upright.size), prepare.resolution
    if side < R:
        raise BadImage(
            f"{upright.width}x{upright.height} px, but the short side must have"
            f" prepare.resolution = {R}, which you may lower"
        )
    image = _in_colour(upright, original, MODES[prepare.colour], notes)
    if image.width != image.height:
        left, top = (image.width - side) // 2, (image.height - side) // 2
        notes.append(f"cropped from {image.width}x{image.height} to {side}x{side}")
        image = image.crop((left, top, left + side, top + side))
    if side != R:
        notes.append(f"resized from {side}x{side} to {R}x{R}")
        image = image.resize((R, R), Image.Resampling.LANCZOS)
    pixels_HWC = np.asarray(image).reshape(R, R, -1)
    return np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1))


def _in_colour(image: Image.Image, original: str, mode: str, notes: list[str]) -> Image.Image:
    """Return `image` in `mode`, "L" or "RGB"."""
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, BACKGROUND)
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque.convert("RGB")
        notes.append(f"composited on {BACKGROUND}")
    elif image.mode == "LAB":
        image = image.convert("RGB")  # Pillow knows no other way out of it
    if original != mode:
        notes.append(f"converted from {original} to {mode}")
    return image.convert(mode)
