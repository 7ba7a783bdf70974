"""Every kind of pixels of a TIFF comes out right, or is refused by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made import SETTINGS, Page, tiff
from PIL import Image

from lirf.images import decode
from lirf.images.decode import BadImage, Decoded

RAMP_HW = np.arange(64).reshape(8, 8) / 63  # black to white
RED, GREEN, BLUE = RAMP_HW, 1 - RAMP_HW, RAMP_HW / 2
GREYS, INVERTED = [RAMP_HW] * 3, [1 - RAMP_HW] * 3
COLOURS = [RED, GREEN, BLUE]
SOLID, CLEAR = np.ones((8, 8)), np.zeros((8, 8))
INKS = [1 - RED, 1 - GREEN, 1 - BLUE, CLEAR]
BLACK_IS_ZERO, WHITE_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB = 1, 0, 2, 3, 5, 6, 8
ALPHA, PREMULTIPLIED, UNKNOWN = ({338: kind} for kind in (2, 1, 0))
REDUCED = {254: 1}
NEUTRAL = np.full((8, 8), 128 / 255)


def levels(planes: list[np.ndarray], bits: int) -> np.ndarray:
    """Return planes of 0 to 1 as whole numbers of so many bits [H, W, S]."""
    return np.rint(np.stack(planes, axis=-1) * (2**bits - 1)).astype(np.int64)


def load(path: Path, *pages: Page) -> Decoded:
    path.write_bytes(tiff(*pages))
    return decode.load(path, SETTINGS)


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize(
    ("photometric", "samples", "bits", "tags", "expected"),
    [
        *((BLACK_IS_ZERO, [RAMP_HW], bits, {}, GREYS) for bits in (1, 2, 4, 8, 12, 16)),
        *((WHITE_IS_ZERO, [RAMP_HW], bits, {}, INVERTED) for bits in (1, 2, 4, 8, 16)),
        *((RGB, COLOURS, bits, {}, COLOURS) for bits in (8, 16)),
        *((RGB, [*COLOURS, SOLID], bits, ALPHA, COLOURS) for bits in (8, 16)),
        *((RGB, [*COLOURS, CLEAR], bits, ALPHA, [SOLID] * 3) for bits in (8, 16)),
        (RGB, [RED / 2, GREEN / 2, BLUE / 2, SOLID / 2], 8, PREMULTIPLIED,
         [(plane + 1) / 2 for plane in COLOURS]),
        (RGB, [*COLOURS, CLEAR], 8, UNKNOWN, COLOURS),
        (BLACK_IS_ZERO, [RAMP_HW, SOLID], 8, ALPHA, GREYS),
        *((CMYK, INKS, bits, {}, COLOURS) for bits in (8, 16)),
        (YCBCR, [RAMP_HW, NEUTRAL, NEUTRAL], 8, {}, GREYS),
    ],
)  # fmt: skip
def test_colours_come_out_right_or_are_refused(
    tmp_path: Path,
    photometric: int,
    samples: list[np.ndarray],
    bits: int,
    tags: dict[int, int],
    expected: list[np.ndarray],
    planes: bool,
):
    page = Page(levels(samples, bits), bits, photometric, planes=planes, tags=dict(tags))
    apart = bits == 8 and photometric in (BLACK_IS_ZERO, RGB, CMYK) and len(samples) != 2
    if planes and not (apart and tags in ({}, ALPHA)):
        with pytest.raises(BadImage, match=r"-bit pixels \(.*, in separate planes\), which are"):
            load(tmp_path / "a.tif", page)
        return

    image = load(tmp_path / "a.tif", page)

    coarse = max(255 // (2**bits - 1), 2) / 2 + 1
    np.testing.assert_allclose(image.pixels, 255 * np.stack(expected), atol=coarse)


@pytest.mark.parametrize(("photometric", "samples"), [(RGB, COLOURS), (CMYK, INKS)])
@pytest.mark.parametrize("bits", [8, 16])
def test_compressed_planes_come_out_right(
    tmp_path: Path, photometric: int, samples: list[np.ndarray], bits: int
):
    page = Page(levels(samples, bits), bits, photometric, planes=True, compressed=True)

    pixels = load(tmp_path / "a.tif", page).pixels

    np.testing.assert_allclose(pixels, 255 * np.stack(COLOURS), atol=2)


def test_cielab_comes_out_right(tmp_path: Path):
    bits = np.stack([levels([RAMP_HW], 8)[..., 0], *[np.zeros((8, 8), int)] * 2], axis=-1)

    pixels = load(tmp_path / "a.tif", Page(bits, 8, CIELAB)).pixels

    assert np.abs(pixels.max(axis=0).astype(int) - pixels.min(axis=0)).max() <= 1  # grey
    assert (pixels[0, 0, 0], pixels[0, -1, -1]) == (1, 254)  # by Little CMS in 8 bits
    assert pixels[0].reshape(-1)[27] == pytest.approx(101, abs=3)  # L* = 42.9


def test_a_palette_is_looked_up(tmp_path: Path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "a.tif")

    assert decode.load(tmp_path / "a.tif", SETTINGS).pixels[:, 0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (Page(levels([RAMP_HW], 8), kind=2), "8-bit signed pixels (grey)"),
        (Page(levels([RAMP_HW], 16), 16, kind=2), "16-bit signed pixels (grey)"),
        (Page(levels([RAMP_HW], 32), 32), "32-bit pixels (grey)"),
        (Page(levels([RAMP_HW], 32), 32, kind=2), "32-bit signed pixels (grey)"),
        (Page(levels([RAMP_HW], 10), 10), "10-bit pixels (grey)"),
        (Page(levels([RAMP_HW], 12), 12, WHITE_IS_ZERO), "12-bit pixels (grey, white is 0)"),
        (Page(RAMP_HW[..., None].astype("f2"), 16, kind=3), "16-bit floating point pixels (grey)"),
        (Page(RAMP_HW[..., None].astype("f4"), 32, kind=3), "32-bit floating point pixels (grey)"),
        (Page(RAMP_HW[..., None].astype("f8"), 64, kind=3), "64-bit floating point pixels (grey)"),
        (Page(RAMP_HW[..., None].astype("c8"), 64, kind=6), "64-bit complex pixels (grey)"),
        (Page(levels(COLOURS, 8), kind=2, photometric=RGB), "3 x 8-bit signed pixels (RGB)"),
        (Page(levels([RAMP_HW] * 5, 8)), "5 x 8-bit pixels (grey)"),
        (Page(levels([RAMP_HW] * 2, 16), 16, tags=dict(ALPHA)), "2 x 16-bit pixels (grey)"),
        (Page(levels(COLOURS, 16), 16, CIELAB), "3 x 16-bit pixels (CIELAB)"),
        (Page(levels(COLOURS, 8), 8, 9), "3 x 8-bit pixels (ICCLAB)"),
        (Page(levels([RAMP_HW], 8), 8, 32803), "8-bit pixels (a sensor's raw colours)"),
        (Page(levels([RAMP_HW], 8), 8, 77), "8-bit pixels (colours of kind 77)"),
    ],
    ids=str,
)  # fmt: skip
def test_other_pixels_are_refused_by_name(tmp_path: Path, page: Page, words: str):
    with pytest.raises(BadImage) as caught:
        load(tmp_path / "a.tif", page)

    message = f"a TIFF of {words}, which are not read; save it as 8-bit grey or RGB"
    assert str(caught.value) == f"{tmp_path / 'a.tif'}: {message}"


def test_damaged_tags_are_no_kind_of_pixels(tmp_path: Path):
    content = tiff(Page(levels([RAMP_HW], 10), 10))
    (tmp_path / "a.tif").write_bytes(content[:-100])  # in the middle of its tags

    with pytest.raises(BadImage, match="or its header is damaged"):
        decode.load(tmp_path / "a.tif", SETTINGS)


def test_smaller_versions_and_masks_are_no_pages(tmp_path: Path):
    whole = Page(levels([RAMP_HW], 8))
    small = Page(levels([SOLID[:2, :2]], 8), tags=dict(REDUCED))
    mask = Page(levels([SOLID], 1), 1, tags={254: 4})

    for pages in ([small, whole], [whole, small, mask]):
        image = load(tmp_path / "a.tif", *pages)
        np.testing.assert_array_equal(image.pixels[0], levels([RAMP_HW], 8)[..., 0])
        assert (image.doubts, image.done) == ({}, "converted from L to RGB")


def test_thumbnails_of_raw_data_are_no_image(tmp_path: Path):
    with pytest.raises(BadImage, match="thumbnails only, as in camera raw files; save it as PNG"):
        load(tmp_path / "a.tif", Page(levels([RAMP_HW], 8), tags=dict(REDUCED)))


def test_the_size_of_the_page_that_is_taken_counts(tmp_path: Path):
    small = Page(levels([SOLID[:2, :2]], 8), tags=dict(REDUCED))
    (tmp_path / "a.tif").write_bytes(tiff(small, Page(levels([RAMP_HW], 8))))

    with pytest.raises(BadImage, match=r"8x8 px are 0\.0 megapixels, more than"):
        decode.load(tmp_path / "a.tif", SETTINGS.model_copy(update={"max_megapixels": 1e-5}))


def test_pages_that_are_not_read_only_count(tmp_path: Path):
    odd = Page(RAMP_HW[..., None].astype("f2"), 16, kind=3)

    image = load(tmp_path / "a.tif", Page(levels([RAMP_HW], 8)), odd, odd)

    assert image.done == "first of 3 pages; converted from L to RGB"
    with pytest.raises(BadImage, match="floating point"):
        load(tmp_path / "a.tif", odd, Page(levels([RAMP_HW], 8)))


def test_a_stack_of_imagej_has_as_many_pages_as_it_says(tmp_path: Path):
    note = b"ImageJ=1.54f\nimages=7\nslices=7\n\0"

    image = load(tmp_path / "a.tif", Page(levels([RAMP_HW], 8), tags={270: note}))

    assert image.doubts == {"frames": "first of 7 pages taken; save each to a file of its own"}
