"""Images on disk to uint8 arrays: found, decoded whole, turned upright, cropped and resized.

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
import os
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lirf.params import Prepare

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
HELDOUT = "heldout"
BACKGROUND = "white"
MODES = {"grey": "L", "rgb": "RGB"}
BYTES_PER_PIXEL, BYTES_BESIDES = 16, 64e6  # of a file, at most: pixels, and all that is none
GREY_16_BIT = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})

Split = Literal["train", "heldout"]


class BadImage(ValueError):  # noqa: N818 - the pipeline's own word: prepare.on_bad_image
    """An image that cannot be used; the message is one line that names the file and why."""


@dataclass(frozen=True)
class ImageFile:
    """An image file: `name` is its POSIX path relative to the folder it was found in."""

    path: Path
    name: str
    split: Split


@dataclass(frozen=True)
class PreparedImage:
    """An image as the pipeline sees it, and what it was.

    Attributes:
        file: where it came from.
        pixels: uint8 [C, R, R], C is 1 (grey) or 3 (rgb), R is `prepare.resolution`.
        sha256: of the file's bytes.
        width: px, of the original, upright.
        height: px, of the original, upright.
        mode: Pillow's mode of the original.
        done: what was done to it, in words.
    """

    file: ImageFile
    pixels: np.ndarray
    sha256: str
    width: int
    height: int
    mode: str
    done: str


@dataclass(frozen=True)
class Row:
    """A row of the prepared images, uint8 [C, R, R]: an image, or its mirror image if `flip`."""

    id: str
    image: PreparedImage
    pixels: np.ndarray
    flip: bool


def find(folder: Path) -> tuple[list[ImageFile], int]:
    """Return the image files below `folder`, sorted by name, and the number of other files.

    Files count by suffix, in any case; hidden files and folders are skipped. Everything below
    the folder `heldout` is held out, everything else is for training.

    Raises:
        ValueError: `folder` is missing, unreadable, not a folder or holds no images; a link
            leads out of it or to a folder; a name cannot be printed or nearly says `heldout`.
    """
    if not folder.exists():
        raise ValueError(f"{folder}: no such folder; set prepare.images to a folder of images")
    if not folder.is_dir():
        raise ValueError(f"{folder}: not a folder; set prepare.images to a folder of images")
    root = folder.resolve()
    found: list[ImageFile] = []
    others = 0
    for parent, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = sorted(name for name in files if not name.startswith("."))
        for path in (Path(parent, name) for name in [*folders, *visible]):
            _check_entry(path, path.relative_to(folder), root)
        for path in (Path(parent, name) for name in visible):
            if path.suffix.lower() not in SUFFIXES:
                others += 1
                continue
            name = path.relative_to(folder)
            split = "heldout" if name.parts[0] == HELDOUT and len(name.parts) > 1 else "train"
            found.append(ImageFile(path, name.as_posix(), split))
    if not found:
        raise ValueError(
            f"{folder}: no images (PNG, JPEG, WebP, TIFF, BMP) in it or below;"
            " set prepare.images to a folder of images"
        )
    return sorted(found, key=lambda file: file.name), others


def load(file: ImageFile, prepare: Prepare) -> PreparedImage:
    """Read, check, decode and prepare one image.

    Raises:
        BadImage: the file is unreadable, empty, truncated, damaged or not an image, has more
            than `prepare.max_megapixels` or bytes for more, is smaller than
            `prepare.resolution`, or its pixels have no known white.
    """
    try:
        if not file.path.is_file():
            raise BadImage(f"{file.path}: missing, or not a regular file")
        most = prepare.max_megapixels * 1e6 * BYTES_PER_PIXEL + BYTES_BESIDES
        if file.path.stat().st_size > most:
            raise BadImage(
                f"{file.path}: {file.path.stat().st_size / 1e6:.0f} MB, more than any image of"
                f" prepare.max_megapixels = {prepare.max_megapixels:g} takes"
            )
        content = file.path.read_bytes()
    except OSError as error:
        raise BadImage(f"{file.path}: cannot be read ({error.strerror})") from None
    if not content:
        raise BadImage(f"{file.path}: empty (0 bytes)")
    with warnings.catch_warnings(record=True) as caught, _no_pixel_limit():
        warnings.simplefilter("always", UserWarning)
        try:
            mode, upright, notes = _decode(content, prepare)
            pixels_CHW, more = _fit(upright, prepare)
        except BadImage as error:
            raise BadImage(f"{file.path}: {error}") from None
        except UnidentifiedImageError:  # its text holds a memory address
            reason = "not a PNG, JPEG, WebP, TIFF or BMP image, or its header is damaged"
            raise BadImage(f"{file.path}: {reason}") from None
        except MemoryError:
            raise
        except Exception as error:  # decoders let through whatever they run into
            reason = " ".join(str(error).split()) or type(error).__name__
            raise BadImage(f"{file.path}: cannot be decoded ({reason})") from None
    notes += more + sorted({f"decoder warned: {warning.message}" for warning in caught})
    return PreparedImage(
        file=file,
        pixels=pixels_CHW,
        sha256=hashlib.sha256(content).hexdigest(),
        width=upright.width,
        height=upright.height,
        mode=mode,
        done="; ".join(notes) or "unchanged",
    )


def distinct(
    images: Sequence[PreparedImage], flip: bool
) -> tuple[list[Row], list[tuple[PreparedImage, Row]]]:
    """Return the rows of `images` without repeats, and each dropped image with the row it repeats.

    A repeat has exactly the pixels of an earlier row *as prepared*: a copy saved in another
    format or at another size is seen too, if it comes out the same. Training rows come first, so
    a held-out image that repeats a training image, or its mirror image where `flip` adds those,
    is the one to go. The mirror image of a symmetric image is left out silently.
    """
    rows: list[Row] = []
    dropped: list[tuple[PreparedImage, Row]] = []
    seen: dict[bytes, Row] = {}
    counts = {"train": 0, "heldout": 0}
    for image in sorted(images, key=lambda image: image.file.split != "train"):
        split = image.file.split
        if (repeated := seen.get(_digest(image.pixels))) is not None:
            dropped.append((image, repeated))
            continue
        row = Row(f"{split}-{counts[split]:05d}", image, image.pixels, flip=False)
        counts[split] += 1
        rows.append(row)
        seen[_digest(row.pixels)] = row
        if flip and split == "train":
            mirrored_CHW = np.ascontiguousarray(image.pixels[:, :, ::-1])
            mirrored = Row(f"{row.id}-flip", image, mirrored_CHW, flip=True)
            if _digest(mirrored_CHW) not in seen:
                rows.append(mirrored)
                seen[_digest(mirrored_CHW)] = mirrored
    return rows, dropped


def _refuse_unreadable(error: OSError) -> None:
    raise ValueError(f"{error.filename}: cannot be read ({error.strerror}); make it readable")


def _check_entry(path: Path, name: Path, root: Path) -> None:
    """Refuse a file or folder that would be taken for something it is not."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name.name):
        raise ValueError(f"{str(path)!r}: its name has characters that are not text; rename it")
    if path.is_symlink():
        target = Path(os.path.realpath(path))
        if path.is_dir() or not target.is_relative_to(root):
            raise ValueError(
                f"{path}: a link to a folder or out of it; put the files there instead"
            )
    plain = name.name.lower().replace("-", "").replace("_", "").replace(" ", "")
    if len(name.parts) == 1 and path.is_dir() and plain == HELDOUT and name.name != HELDOUT:
        raise ValueError(f"{path}: would be trained on; rename it to {HELDOUT}, if that is meant")


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


def _digest(pixels_CHW: np.ndarray) -> bytes:
    return hashlib.sha256(pixels_CHW.tobytes()).digest()
