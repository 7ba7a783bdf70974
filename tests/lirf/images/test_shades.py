"""Every depth that a PNG may have comes out right, and 16 bits that are hardly used are said."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from made import SETTINGS, Page, png, tiff

from lirf.images import decode
from lirf.images.decode import BadImage, Decoded

RAMP_HW = np.arange(64).reshape(8, 8) / 63
RGB_HWC = np.stack([RAMP_HW, 1 - RAMP_HW, RAMP_HW / 2], axis=-1)
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def levels(share: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(share * (2**bits - 1)).astype(np.int64)


def load(path: Path, content: bytes) -> Decoded:
    path.write_bytes(content)
    return decode.load(path, SETTINGS)


def close(image: Decoded, expected_HWC: np.ndarray, bits: int) -> None:
    expected_CHW = np.broadcast_to(expected_HWC, (8, 8, 3)).transpose(2, 0, 1) * 255
    np.testing.assert_allclose(image.pixels, expected_CHW, atol=max(255 // (2**bits - 1), 2) / 2)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_pngs(tmp_path: Path, bits: int):
    values = levels(RAMP_HW[..., None], bits)

    close(load(tmp_path / "a.png", png(values, bits, GREY)), RAMP_HW[..., None], bits)

    shade = struct.pack(">H", 0)
    image = load(tmp_path / "a.png", png(values, bits, GREY, (b"tRNS", shade)))
    close(image, np.where(values == 0, 1, RAMP_HW[..., None]), bits)
    assert "composited on white" in image.done


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_pngs(tmp_path: Path, bits: int):
    most = 2**bits - 1
    colours = bytes(part for i in range(most + 1) for part in (i * 255 // most, 7, 255))
    values = levels(RAMP_HW[..., None], bits)
    palette = (b"PLTE", colours)

    image = load(tmp_path / "a.png", png(values, bits, PALETTE, palette))
    clear = load(tmp_path / "a.png", png(values, bits, PALETTE, palette, (b"tRNS", b"\0")))

    expected = np.array(list(colours)).reshape(-1, 3)[values[..., 0]].transpose(2, 0, 1)
    np.testing.assert_array_equal(image.pixels, expected)
    np.testing.assert_array_equal(clear.pixels, np.where(values[..., 0] == 0, 255, expected))


@pytest.mark.parametrize("bits", [8, 16])
def test_colour_pngs(tmp_path: Path, bits: int):
    alpha = np.ones((8, 8, 1))
    alpha[0] = 0
    values = levels(RGB_HWC, bits)
    with_alpha = levels(np.concatenate([RGB_HWC, alpha], axis=2), bits)
    grey = levels(np.concatenate([RAMP_HW[..., None], alpha], axis=2), bits)

    close(load(tmp_path / "a.png", png(values, bits, RGB)), RGB_HWC, bits)
    blended = load(tmp_path / "a.png", png(with_alpha, bits, RGB_ALPHA))
    close(blended, np.where(alpha, RGB_HWC, 1), bits)
    blended = load(tmp_path / "a.png", png(grey, bits, GREY_ALPHA))
    close(blended, np.where(alpha, RAMP_HW[..., None], 1), bits)


def test_one_transparent_colour(tmp_path: Path):
    for bits in (8, 16):
        values = levels(RGB_HWC, bits)
        content = png(values, bits, RGB, (b"tRNS", struct.pack(">HHH", *values[0, 0])))
        if bits == 8:
            assert load(tmp_path / "a.png", content).pixels[:, 0, 0].tolist() == [255] * 3
            continue
        with pytest.raises(BadImage, match="16-bit colours is transparent; save it with alpha"):
            load(tmp_path / "a.png", content)


@pytest.mark.parametrize("used", [8, 10, 12, 14])
def test_16_bits_that_are_hardly_used_are_said(tmp_path: Path, used: int):
    most = 2**used - 1
    grey, colour = levels(RAMP_HW[..., None], used), levels(RGB_HWC, used)
    remedy = f"so it comes out dark; if white is {most}, multiply them by {2 ** (16 - used)}"
    contents = [png(grey, 16, GREY), tiff(Page(grey, 16)), tiff(Page(grey, 16, 0))]
    contents += [png(colour, 16, RGB), tiff(Page(colour, 16, 2))]

    for content in contents:
        image = load(tmp_path / "a", content)
        assert image.doubts == {"dark": f"its 16-bit values end at {most} of 65535, {remedy}"}


def test_nothing_is_said_of_what_uses_its_bits(tmp_path: Path):
    for bits in (8, 16):
        for share in (1.0, 0.3):
            content = png(levels(share * RAMP_HW[..., None], bits), bits, GREY)
            assert load(tmp_path / "a.png", content).doubts == {}
    dark = load(tmp_path / "a.png", png(levels(0.1 * RAMP_HW[..., None], 8), 8, GREY))
    assert dark.doubts == {}
    packed = load(tmp_path / "a.tif", tiff(Page(levels(RAMP_HW[..., None], 12), 12)))
    assert (packed.doubts, packed.done.split(";")[0]) == ({}, "rescaled from 12 to 8 bits")
