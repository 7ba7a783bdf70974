"""The pages of a TIFF: which of them is the image, and whether its pixels come out right.

Pillow reads most kinds of pixels and refuses others, but takes some for what they are not: signed
numbers for unsigned ones, and planes of some kinds for one another.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from PIL import TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

NEW_SUBFILE_TYPE = 254  # a tag that Pillow has no name for
BIG = 43  # in the header of a BigTIFF
IMAGEJ_STACK = re.compile(r"ImageJ=[^\n]*\nimages=(\d{1,9})\n")
REDUCED, MASK = 1, 4  # bits of NewSubfileType
UNSIGNED = 1
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, SEPARATED = 0, 1, 2, 5
PHOTOMETRIC = {
    WHITE_IS_ZERO: "grey, white is 0",
    BLACK_IS_ZERO: "grey",
    RGB: "RGB",
    3: "palette",
    4: "a mask",
    SEPARATED: "CMYK",
    6: "YCbCr",
    8: "CIELAB",
    9: "ICCLAB",
    10: "ITULAB",
    32803: "a sensor's raw colours",
    32844: "LogL",
    32845: "LogLuv",
    34892: "a sensor's raw colours",
}
NUMBERS = {UNSIGNED: "", 2: " signed", 3: " floating point", 4: "", 5: " complex", 6: " complex"}


@dataclass(frozen=True)
class Page:
    """What a page's tags say of its pixels.

    Attributes:
        part: whether it is a smaller version or a mask of another page.
        images: how many images it holds; more than one in ImageJ's stacks.
        bits: of a sample.
        samples: of a pixel, alpha included.
        kind: a key of `NUMBERS`.
        photometric: a key of `PHOTOMETRIC`.
        planes: whether every sample of a pixel has a plane of its own.
        compressed: whether its samples are.
    """

    part: bool
    images: int
    bits: int
    samples: int
    kind: int
    photometric: int
    planes: bool
    compressed: bool

    @property
    def misread(self) -> bool:
        """Return whether Pillow opens it, but takes its pixels for what they are not."""
        colours = (RGB, SEPARATED) if self.samples > 1 else (BLACK_IS_ZERO,)
        apart = self.photometric in colours and (self.bits == 8 or self.compressed)
        return self.kind not in (UNSIGNED, 4) or self.bits > 16 or (self.planes and not apart)

    def __str__(self) -> str:
        """Return what its pixels are, in words."""
        count = f"{self.samples} x " if self.samples > 1 else ""
        number = NUMBERS.get(self.kind, f" unknown (SampleFormat {self.kind})")
        colours = PHOTOMETRIC.get(self.photometric, f"colours of kind {self.photometric}")
        planes = ", in separate planes" if self.planes else ""
        return f"{count}{self.bits}-bit{number} pixels ({colours}{planes})"


def pages(image: TiffImageFile) -> list[Page]:
    """Return the pages of an opened TIFF in their order; `image` is at none of them afterwards."""
    found: list[Page] = []
    while True:
        try:
            image.seek(len(found))
        except EOFError:
            return found
        except SyntaxError:  # pixels that Pillow does not read; it has read the tags
            pass
        found.append(_page(image.tag_v2))


def first_page(content: bytes) -> Page | None:
    """Return the first page of a TIFF that Pillow does not open, None if its tags are damaged."""
    file = io.BytesIO(content)
    try:
        tags = ImageFileDirectory_v2(file.read(16 if content[2] == BIG else 8))
        file.seek(tags.next)
        tags.load(file)
        return _page(tags) if TiffImagePlugin.PHOTOMETRIC_INTERPRETATION in tags else None
    except Exception:  # the reader lets through whatever it runs into
        return None


def _page(tags: ImageFileDirectory_v2) -> Page:
    def number(tag: int, default: int) -> int:
        value = tags.get(tag, default)
        return int(max(value, default=default) if isinstance(value, tuple) else value)

    stack = IMAGEJ_STACK.match(str(tags.get(TiffImagePlugin.IMAGEDESCRIPTION, "")))
    samples = number(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    return Page(
        part=bool(number(NEW_SUBFILE_TYPE, 0) & (REDUCED | MASK)),
        images=int(stack[1]) if stack else 1,
        bits=number(TiffImagePlugin.BITSPERSAMPLE, 1),
        samples=samples,
        kind=number(TiffImagePlugin.SAMPLEFORMAT, UNSIGNED),
        photometric=number(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, WHITE_IS_ZERO),
        planes=number(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 2,
        compressed=number(TiffImagePlugin.COMPRESSION, 1) != 1,
    )
