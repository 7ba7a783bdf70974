"""Which images are nearly the same, on real photographs."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from skimage import data

from lirf.images import bundled, similar


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=25)
    return Image.open(buffer)


def halved(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2))


def brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.2)


def moved(image: Image.Image) -> Image.Image:
    return image.crop((round(0.02 * image.width), 0, image.width, image.height))


def grey(image: Image.Image) -> Image.Image:
    return image.convert("L")


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    return [picture for _, picture in bundled.photographs() if min(picture.size) >= 256]


@pytest.mark.parametrize("change", [jpeg, halved, brighter, moved, grey])
def test_an_image_is_found_again_and_no_other_is(
    photographs: list[Image.Image], change: Callable[[Image.Image], Image.Image]
):
    named = [data.astronaut(), data.chelsea(), data.coffee()]
    several = photographs + [change(Image.fromarray(one)) for one in named]
    found = similar.pairs(np.stack([similar.thumbnail(one) for one in several])).tolist()
    assert len(found) == len(named)
    assert [j for _, j in sorted(found, key=lambda pair: pair[1])] == [
        len(photographs) + place for place in range(len(named))
    ]
    assert all(i < len(photographs) for i, _ in found)


def test_faces_in_one_place_are_not_one_face():
    faces_NCHW = [pixels_HW[None] for _, _, pixels_HW in bundled.faces()]
    assert similar.pairs(similar.of_pixels(faces_NCHW)).tolist() == []


def test_without_contrast_nothing_is_alike():
    flat_NCHW = [np.full((3, 32, 32), level, np.uint8) for level in (0, 0, 200)]
    assert similar.pairs(similar.of_pixels(flat_NCHW)).tolist() == []
    assert similar.of_pixels([]).shape == (0, similar.SIDE**2)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(5, 256)), 3, axis=0)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    whole = similar.pairs(rows).tolist()
    monkeypatch.setattr(similar, "BLOCK", 4)
    assert similar.pairs(rows).tolist() == whole
    assert whole == [[3 * k + i, 3 * k + j] for k in range(5) for i, j in ((0, 1), (0, 2), (1, 2))]


def test_a_chain_is_one_group():
    assert similar.groups(6, np.array([(0, 2), (2, 5), (1, 3)])).tolist() == [0, 1, 0, 1, 2, 0]
    assert similar.groups(2, np.empty((0, 2), int)).tolist() == [0, 1]
