"""Pictures: every pixel where it belongs, the same bytes every time."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lirf.report import pictures
from lirf.report.pictures import BACKGROUND, GAP, MARK


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@given(
    st.integers(1, 7), st.sampled_from([1, 3]), st.integers(1, 5), st.integers(1, 5),
    st.integers(1, 4), st.integers(1, 3),
)  # fmt: skip
def test_every_image_of_a_grid_can_be_read_back(n, c, h, w, columns, scale):
    images = noise(n, c, h, w)
    canvas = np.asarray(pictures.grid(images, columns, scale))
    rows = -(-n // columns)
    assert canvas.shape == (
        GAP + rows * (h * scale + GAP),
        GAP + columns * (w * scale + GAP),
        3,
    )
    for i in range(n):
        top = GAP + (i // columns) * (h * scale + GAP)
        left = GAP + (i % columns) * (w * scale + GAP)
        tile = canvas[top : top + h * scale, left : left + w * scale]
        for y in range(scale):
            for x in range(scale):
                seen = tile[y::scale, x::scale].transpose(2, 0, 1)
                np.testing.assert_array_equal(seen, np.broadcast_to(images[i], (3, h, w)))


@pytest.mark.parametrize(("side", "shown"), [(8, 48), (32, 64), (48, 48), (64, 64), (7, 49)])
def test_small_images_are_made_visible(side, shown):
    assert pictures.enlarge(noise(1, 1, side, side)).shape == (1, shown, shown, 3)


def test_the_rest_of_a_short_row_is_background():
    canvas = np.asarray(pictures.grid(np.zeros((3, 1, 4, 4), np.uint8), 2, 1))
    assert (canvas[-GAP - 4 :, -GAP - 4 :] == BACKGROUND).all()


def test_marked_images_of_a_grid_are_framed_and_no_others():
    images, marked = noise(6, 1, 4, 4), [True, False, False, False, True, False]
    plain = np.asarray(pictures.grid(images, 3, 1, [False] * 6))
    framed = np.asarray(pictures.grid(images, 3, 1, marked))
    changed = (plain != framed).any(axis=2)
    assert (framed[changed] == MARK).all()
    expected = np.zeros_like(changed)
    step, tile = 4 + 3 * GAP, 4 + 2 * GAP
    for i in (0, 4):
        top, left = i // 3 * step, i % 3 * step
        expected[top : top + tile, left : left + tile] = True
        expected[top + GAP : top + GAP + 4, left + GAP : left + GAP + 4] = False
    np.testing.assert_array_equal(changed, expected)


def test_pairs_stand_above_one_another():
    upper, lower = noise(5, 1, 4, 4), noise(5, 1, 4, 4, seed=1)
    canvas = np.asarray(pictures.pairs(upper, lower, columns=3, scale=1))[..., 0]
    # The fourth pair is the first of the second block.
    block = 2 * (4 + GAP) + GAP + pictures.MARGIN
    for top, left, i in ((0, 4 + GAP, 1), (block, 0, 3)):
        np.testing.assert_array_equal(canvas[top + GAP :][:4, left + GAP :][:, :4], upper[i, 0])
        np.testing.assert_array_equal(
            canvas[top + 2 * GAP + 4 :][:4, left + GAP :][:, :4], lower[i, 0]
        )


def test_pairs_must_match():
    with pytest.raises(ValueError, match="equal shapes"):
        pictures.pairs(noise(5, 1, 4, 4), noise(4, 1, 4, 4), columns=3)


def test_a_marked_sample_and_its_nearest_image_are_framed():
    def marks(marked):
        picture = pictures.neighbours(
            np.zeros((2, 1, 8, 8), np.uint8), np.zeros((2, 3, 1, 8, 8), np.uint8), ["", ""], marked
        )
        framed = (np.asarray(picture) == MARK).all(axis=2)
        return framed[: 48 + 2 * GAP], framed[48 + 3 * GAP :]

    assert not np.concatenate(marks([False, False])).any()
    first, second = marks([False, True])
    assert not first.any()
    tile = 48 + 2 * GAP
    columns = second.any(axis=0)
    assert columns[:tile].all()
    assert not columns[tile : tile + pictures.MARGIN].any()
    assert columns[tile + pictures.MARGIN :][:tile].all()
    assert not columns[2 * tile + pictures.MARGIN :].any()


def test_neighbours_need_a_note_and_a_mark_each():
    with pytest.raises(ValueError, match="1 notes"):
        pictures.neighbours(noise(2, 1, 8, 8), noise(2, 3, 1, 8, 8), ["x"], [False, True])


def test_a_caption_adds_text_and_keeps_the_picture():
    image = pictures.grid(noise(4, 3, 8, 8), 2)
    captioned = pictures.captioned(image, "one line", "a second, rather longer line of text")
    m = pictures.MARGIN
    below = captioned.crop((m, captioned.height - m - image.height, m + image.width,
                            captioned.height - m))  # fmt: skip
    assert below.tobytes() == image.tobytes()
    assert captioned.width > image.width + 2 * m  # widened by the text
    assert np.asarray(captioned)[: captioned.height - m - image.height].min() < 128


def test_beside_and_stack():
    a, b = Image.new("RGB", (3, 5), "red"), Image.new("RGB", (4, 2), "blue")
    assert pictures.beside([a, b], gap=1).size == (8, 5)
    assert pictures.beside([a, b], gap=1).getpixel((4, 1)) == (0, 0, 255)
    assert pictures.stack([a, b], gap=1).size == (4, 8)
    assert pictures.stack([a, b], gap=1).getpixel((0, 6)) == (0, 0, 255)


def test_a_saved_picture_is_the_same_bytes_and_the_same_pixels(tmp_path):
    image = pictures.captioned(pictures.grid(noise(4, 3, 8, 8), 2), "caption")
    pictures.save(image, tmp_path / ".a.png.partial")  # the name need not end in .png
    image.info["comment"] = "made at noon"
    pictures.save(image, tmp_path / "b.png")
    assert (tmp_path / ".a.png.partial").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "b.png") as read:
        assert read.format == "PNG"
        assert read.tobytes() == image.tobytes()
        assert not read.info


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (noise(2, 2, 8, 8), r"\[N, 1 or 3, H, W\]"),
        (noise(2, 8, 8), r"\[N, 1 or 3, H, W\]"),
        (np.zeros((2, 1, 8, 8), np.float32), "uint8, got float32"),
        (noise(0, 1, 8, 8), "no images"),
    ],
)
def test_what_cannot_be_shown_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        pictures.grid(images, 2)


def test_a_grid_needs_columns():
    with pytest.raises(ValueError, match="columns = 0"):
        pictures.grid(noise(2, 1, 8, 8), 0)


@pytest.mark.parametrize(
    ("side", "channels", "kind"), [(8, 1, "png"), (32, 3, "png"), (48, 3, "webp")]
)
def test_a_data_uri_holds_the_picture(side, channels, kind):
    image = np.random.default_rng(0).integers(0, 256, (channels, side, side), np.uint8)
    head, _, text = pictures.data_uri(image, 48).partition(",")
    assert head == f"data:image/{kind};base64"
    with Image.open(io.BytesIO(base64.b64decode(text))) as found:
        assert found.size == (side, side)
        if kind == "png":
            pixels = np.asarray(found).reshape(side, side, channels).transpose(2, 0, 1)
            np.testing.assert_array_equal(pixels, image)


def test_a_data_uri_is_no_larger_than_asked():
    _, _, text = pictures.data_uri(np.zeros((3, 128, 64), np.uint8), 40).partition(",")
    with Image.open(io.BytesIO(base64.b64decode(text))) as found:
        assert found.size == (20, 40)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_single_image_keeps_every_pixel(channels):
    image_CHW = noise(channels, 5, 7)
    found = pictures.single(image_CHW)
    assert found.mode == {1: "L", 3: "RGB"}[channels]
    np.testing.assert_array_equal(np.asarray(found).reshape(5, 7, -1), image_CHW.transpose(1, 2, 0))
