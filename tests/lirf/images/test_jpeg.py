"""A JPEG that lacks only its end marker is whole; one that lacks more is not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import SETTINGS
from PIL import Image

from lirf.images import decode, jpeg
from lirf.images.decode import BadImage

NOISE_HWC = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
ADOBE = b"\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00"  # and the byte that says how, at the end


def saved(mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(NOISE_HWC).convert(mode).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


KINDS = pytest.mark.parametrize(
    "content",
    [saved(), saved("L"), saved(progressive=True), saved(restart_marker_rows=1)],
    ids=["colour", "grey", "progressive", "restarting"],
)


@KINDS
@pytest.mark.parametrize("missing", [1, 2])
def test_without_its_end_marker_it_is_whole(content: bytes, missing: int):
    ended = jpeg.ended(content[:-missing])

    assert ended is not None
    np.testing.assert_array_equal(np.asarray(ended), np.asarray(Image.open(io.BytesIO(content))))


@KINDS
def test_without_any_of_its_pixels_it_is_not(content: bytes):
    for missing in (3, 4, 5, 6, 7, 8, 20, 100):
        assert jpeg.ended(content[:-missing]) is None


def test_a_missing_end_marker_is_noted(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(saved()[:-2])

    done = decode.load(tmp_path / "a.jpg", SETTINGS).done

    assert done.startswith("its end marker was missing; cropped from 40x24")


def test_what_follows_the_end_marker_is_ignored(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(saved() + b"\0junk")

    assert decode.load(tmp_path / "a.jpg", SETTINGS).done.startswith("cropped from")


def inks(tmp_path: Path, planes: list[int], marker: bytes) -> Path:
    """Write a JPEG of four constant planes as they are stored, with Adobe's marker or none."""
    file = io.BytesIO()
    stored = [Image.new("L", (16, 16), 255 - plane) for plane in planes]  # Pillow inverts them
    Image.merge("CMYK", stored).save(file, "JPEG", quality=100)
    content = file.getvalue()
    assert content[2 : 2 + len(ADOBE)] == ADOBE
    path = tmp_path / "inks.jpg"
    path.write_bytes(content[:2] + marker + content[2 + len(ADOBE) + 1 :])
    return path


def test_adobes_cmyk_is_inverted(tmp_path: Path):
    path = inks(tmp_path, [0, 255, 0, 255], ADOBE + b"\0")  # full cyan and yellow

    assert decode.load(path, SETTINGS).pixels[:, 0, 0].tolist() == [0, 255, 0]


def test_ycck_is_adobes_cmyk_as_ycc(tmp_path: Path):
    paper, red = [0, 128, 128], [76, 85, 255]  # YCC of RGB 0, 0, 0 and 254, 0, 0: 255 is no ink
    colours = {(*paper, 255): [255, 255, 255], (*red, 255): [1, 255, 255], (*paper, 0): [0, 0, 0]}
    for planes, expected in colours.items():
        path = inks(tmp_path, list(planes), ADOBE + b"\2")

        assert decode.load(path, SETTINGS).pixels[:, 0, 0].tolist() == expected


def test_cmyk_without_adobes_mark_is_refused(tmp_path: Path):
    with pytest.raises(BadImage, match=r"CMYK without Adobe's mark: .*; save it as RGB"):
        decode.load(inks(tmp_path, [0, 255, 0, 255], b""), SETTINGS)


def test_previews_in_a_photograph_are_no_frames(tmp_path: Path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])

    image = decode.load(tmp_path / "a.jpg", SETTINGS)

    assert (image.done, image.doubts) == ("first of 2 frames", {})
