"""Image files by hand, of kinds that no library at hand writes, and how tests decode them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lirf.params import Prepare

SETTINGS = Prepare(
    images="unused",
    resolution=8,
    colour="rgb",
    flip=False,
    on_bad_image="fail",
    max_megapixels=100.0,
)
"""How images are decoded by the tests of that."""

SHORT, LONG = 3, 4


@dataclass(frozen=True)
class Page:
    """A page of a TIFF: samples [H, W, S], and its tags.

    `bits` of integers may be any; other numbers are written as they are.
    """

    samples: np.ndarray
    bits: int = 8
    photometric: int = 1
    kind: int = 1  # 1 unsigned, 2 signed, 3 floating point
    planes: bool = False
    compressed: bool = False
    tags: dict[int, int | bytes] = field(default_factory=dict)


def tiff(*pages: Page) -> bytes:
    """Return a little-endian TIFF of a strip a page, or a plane of it."""
    content = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for page in pages:
        height, width, count = page.samples.shape
        planes = np.split(page.samples, count, axis=2) if page.planes else [page.samples]
        strips = [_packed(plane, page.bits) for plane in planes]
        if page.compressed:
            strips = [zlib.compress(strip) for strip in strips]
        places = [len(content) + sum(map(len, strips[:i])) for i in range(len(strips))]
        content += b"".join(strips)
        tags = {
            256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [page.bits] * count),
            259: (SHORT, [8 if page.compressed else 1]), 262: (SHORT, [page.photometric]),
            273: (LONG, places),
            277: (SHORT, [count]), 278: (LONG, [height]), 279: (LONG, list(map(len, strips))),
            284: (SHORT, [2 if page.planes else 1]), 339: (SHORT, [page.kind] * count),
        }  # fmt: skip
        entries = [
            (
                tag,
                kind,
                len(values),
                struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'I'}", *values),
            )
            for tag, (kind, values) in tags.items()
        ]
        entries += [
            (tag, 2, len(value), value)
            if isinstance(value, bytes)
            else (tag, LONG, 1, struct.pack("<I", value))
            for tag, value in page.tags.items()
        ]
        table = b""
        for tag, kind, number, value in sorted(entries):
            if len(value) > 4:
                place = struct.pack("<I", len(content))
                content += value
            else:
                place = value.ljust(4, b"\0")
            table += struct.pack("<HHI", tag, kind, number) + place
        struct.pack_into("<I", content, link, len(content))
        content += struct.pack("<H", len(entries)) + table + bytes(4)
        link = len(content) - 4
    return bytes(content)


def png(samples: np.ndarray, bits: int, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of samples [H, W, S], of PNG's colour type, with chunks before its pixels."""
    height, width, _ = samples.shape
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    rows = b"".join(b"\0" + _packed(row[None], bits, ">") for row in samples)
    body = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in body
    )


def _packed(samples_HWS: np.ndarray, bits: int, order: Literal["<", ">"] = "<") -> bytes:
    """Return samples as their bytes, rows of odd bits filled up to whole bytes."""
    if samples_HWS.dtype.kind != "i" or bits in (8, 16, 32):
        whole = {8: "u1", 16: "u2", 32: "u4"}.get(bits, "")
        values = samples_HWS.astype(whole) if samples_HWS.dtype.kind == "i" else samples_HWS
        return values.astype(values.dtype.newbyteorder(order)).tobytes()
    places = np.arange(bits - 1, -1, -1)
    digits = samples_HWS.reshape(len(samples_HWS), -1, 1) >> places & 1
    return np.packbits(digits.astype(np.uint8).reshape(len(samples_HWS), -1), axis=1).tobytes()
