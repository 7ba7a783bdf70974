"""What becomes of the pixels of every kind of image, and which images are refused."""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lirf.images import decode
from lirf.images.decode import BadImage, Decoded
from lirf.params import Prepare

SETTINGS = made.SETTINGS.model_copy(update={"colour": "grey"})
IN_RGB = SETTINGS.model_copy(update={"colour": "rgb"})
NOISE_HWC = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def load(path: Path, settings: Prepare = SETTINGS) -> Decoded:
    return decode.load(path, settings)


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)  # pyright: ignore[reportArgumentType]
    return path


def grey(seed: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


# --- pixels


def test_an_image_of_the_right_size_is_unchanged(tmp_path: Path):
    pixels = grey(0)
    image = load(save(tmp_path / "a.png", pixels))

    np.testing.assert_array_equal(image.pixels, pixels[None])
    assert (image.width, image.height, image.mode, image.done) == (8, 8, "L", "unchanged")


def test_the_centre_square_is_kept(tmp_path: Path):
    pixels = np.zeros((8, 20), dtype=np.uint8)
    pixels[:, 6:14] = grey(0)
    image = load(save(tmp_path / "a.png", pixels))

    np.testing.assert_array_equal(image.pixels[0], pixels[:, 6:14])
    assert image.done == "cropped from 20x8 to 8x8"
    assert (image.width, image.height) == (20, 8)


def test_downscaling_is_antialiased(tmp_path: Path):
    fine = np.zeros((64, 64), dtype=np.uint8)
    fine[:, ::2] = 255  # one-pixel stripes: without a low pass they alias to all black or white

    pixels = load(save(tmp_path / "a.png", fine)).pixels

    assert np.abs(pixels.astype(int) - 127).max() <= 10


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(8, 70),
    height=st.integers(8, 70),
    resolution=st.integers(8, 24),
    colour=st.sampled_from(["grey", "rgb"]),
    value=st.tuples(*[st.integers(0, 255)] * 3),
)
def test_any_size_becomes_a_square_and_a_constant_stays_constant(
    tmp_path_factory: pytest.TempPathFactory,
    width: int,
    height: int,
    resolution: int,
    colour: str,
    value: tuple[int, int, int],
):
    path = tmp_path_factory.getbasetemp() / "constant.png"
    Image.new("RGB", (width, height), value).save(path)
    chosen = SETTINGS.model_copy(update={"resolution": resolution, "colour": colour})
    if min(width, height) < resolution:
        with pytest.raises(BadImage, match=rf"{width}x{height} px"):
            load(path, chosen)
        return

    pixels = load(path, chosen).pixels

    channels = 3 if colour == "rgb" else 1
    expected = value if colour == "rgb" else [round(np.dot(value, [0.299, 0.587, 0.114]))]
    assert pixels.shape == (channels, resolution, resolution)
    assert pixels.dtype == np.uint8
    assert (pixels == pixels[:, :1, :1]).all()
    assert np.abs(pixels[:, 0, 0].astype(int) - expected).max() <= (colour == "grey")  # rounding


def test_exif_orientation_of_a_jpeg_is_honoured(tmp_path: Path):
    stored = np.zeros((8, 16), dtype=np.uint8)
    stored[:, :8] = 255  # white at the left of the stored pixels
    exif = Image.Exif()
    exif[0x0112] = 6  # upright after a quarter turn clockwise: white at the top
    options = SETTINGS.model_copy(update={"resolution": 8})
    path = save(tmp_path / "a.jpg", stored, exif=exif, quality=100)
    save(tmp_path / "plain.jpg", stored, quality=100)

    image = load(path, options)

    assert (image.width, image.height) == (8, 16)
    assert image.done == "turned upright (EXIF orientation 6); cropped from 8x16 to 8x8"
    assert image.pixels[0, :4].min() > 245  # rows 4 to 12 of 16 are kept, the edge in their middle
    assert image.pixels[0, 4:].max() < 10
    np.testing.assert_allclose(
        image.pixels[0], np.rot90(load(tmp_path / "plain.jpg", options).pixels[0], -1), atol=2
    )


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_exif_orientation_is_applied_once_in_every_format(tmp_path: Path, suffix: str):
    stored = grey(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"lossless": True} if suffix == "webp" else {}
    image = load(save(tmp_path / f"a.{suffix}", stored, exif=exif, **options))

    np.testing.assert_array_equal(image.pixels[0], np.rot90(stored, -1))
    assert "turned upright" in image.done


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_rescaled_not_clipped(tmp_path: Path, suffix: str):
    values = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    image = load(save(tmp_path / f"a.{suffix}", values))

    np.testing.assert_array_equal(image.pixels[0], np.rint(values / 257))
    assert image.mode.startswith("I;16")
    assert "rescaled from 16 to 8 bits" in image.done


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_composited_on_white(tmp_path: Path, mode: str):
    Image.new(mode, (8, 8), (0, 64) if mode == "LA" else (0, 0, 0, 64)).save(tmp_path / "a.png")

    image = load(tmp_path / "a.png", IN_RGB)

    assert np.unique(image.pixels).tolist() == [191]  # 255 * (1 - 64 / 255)
    assert image.done == f"composited on white; converted from {mode} to RGB"


def test_colour_follows_the_setting_whatever_the_input(tmp_path: Path):
    in_colour = save(tmp_path / "rgb.png", NOISE_HWC)
    in_grey = save(tmp_path / "grey.png", grey(0))

    assert load(in_colour, SETTINGS).pixels.shape == (1, 8, 8)
    assert "converted from RGB to L" in load(in_colour, SETTINGS).done
    assert "converted" not in load(in_colour, IN_RGB).done
    assert load(in_grey, IN_RGB).pixels.shape == (3, 8, 8)
    assert load(in_grey, IN_RGB).done == "converted from L to RGB"


@pytest.mark.parametrize(
    ("suffix", "unit"), [("tif", "pages"), ("webp", "frames"), ("png", "frames")]
)
def test_of_several_frames_the_first_is_taken_and_said(tmp_path: Path, suffix: str, unit: str):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / f"a.{suffix}"
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)

    image = load(path, IN_RGB)

    assert image.pixels[:, 0, 0].tolist() == [255, 0, 0]
    assert image.done == f"first of 3 {unit}"
    assert image.doubts == {"frames": f"first of 3 {unit} taken; save each to a file of its own"}


# --- bad images


def test_a_truncated_jpeg_is_refused(tmp_path: Path):
    path = save(tmp_path / "a.jpg", np.repeat(NOISE_HWC, 8, axis=0), quality=95)
    path.write_bytes(path.read_bytes()[:-600])

    with pytest.raises(BadImage, match=r"a\.jpg: cannot be decoded \(image file is truncated"):
        load(path)


def test_a_png_with_a_flipped_bit_is_refused(tmp_path: Path):
    path = save(tmp_path / "a.png", NOISE_HWC)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(BadImage, match=r"a\.png: cannot be decoded \(broken PNG file"):
        load(path)


def test_an_empty_file_is_refused(tmp_path: Path):
    (tmp_path / "a.png").touch()

    with pytest.raises(BadImage, match=r"a\.png: empty \(0 bytes\)"):
        load(tmp_path / "a.png")


def test_text_with_the_suffix_of_an_image_is_refused(tmp_path: Path):
    (tmp_path / "a.png").write_text("not an image")

    with pytest.raises(BadImage, match=r"a\.png: not a PNG, JPEG, WebP, TIFF or BMP image"):
        load(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["GIF", "AVIF", "ICO"])
def test_another_format_behind_the_suffix_is_named(tmp_path: Path, kind: str):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png", kind)

    name = {"ICO": "icon"}.get(kind, kind)
    with pytest.raises(BadImage, match=rf"content is {name}, which is not read; save it as PNG"):
        load(tmp_path / "a.png")


def test_a_pointer_to_a_file_is_named(tmp_path: Path):
    (tmp_path / "a.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")

    with pytest.raises(BadImage, match="Git LFS pointer, which is not read; run `git lfs pull`"):
        load(tmp_path / "a.png")


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.png")

    with pytest.raises(BadImage, match="not a regular file"):
        load(tmp_path / "a.png")


def test_200_megapixels_are_refused_from_the_header(tmp_path: Path):
    path = tmp_path / "huge.png"
    path.write_bytes(_png_of_zeros(20_000, 10_000))
    started = time.perf_counter()

    with pytest.raises(BadImage, match=r"20000x10000 px are 200\.0 megapixels, .*max_megapixels"):
        load(path)

    assert time.perf_counter() - started < 0.2  # decoding takes longer
    assert Image.MAX_IMAGE_PIXELS is not None  # Pillow's own limit is back in force


def test_pillows_own_limit_is_not_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # 256 px: an error under this limit

    image = load(save(tmp_path / "a.png", NOISE_HWC))

    assert (image.width, image.height) == (16, 16)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("size", [(7, 30), (30, 7)])
def test_an_image_smaller_than_the_target_is_refused(tmp_path: Path, size: tuple[int, int]):
    Image.new("L", size).save(tmp_path / "a.png")

    with pytest.raises(BadImage, match=rf"{size[0]}x{size[1]} px, .* prepare\.resolution = 8"):
        load(tmp_path / "a.png")


def _png_of_zeros(width: int, height: int) -> bytes:
    """Return a valid 1-bit PNG, black all over, some ten kilobytes long."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
