from __future__ import annotations

import collections

import numpy as np
from skimage import data

from lirf.images import bundled


def test_digits_are_ten_a_class_to_train_on_and_the_rest_held_out():
    images = bundled.digits()
    train = [name for name, split, _ in images if split == "train"]

    assert len(images) == 1797
    assert len(train) == 100
    assert collections.Counter(name[-1] for name in train) == dict.fromkeys("0123456789", 10)
    assert {split for _, split, _ in images} == {"train", "heldout"}
    assert len({name for name, _, _ in images}) == 1797


def test_digits_span_all_grey_levels():
    pixels = np.stack([image for _, _, image in bundled.digits()])

    assert pixels.shape == (1797, 8, 8)
    assert pixels.dtype == np.uint8
    assert len(np.unique(pixels)) == 17
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_digit_names_carry_the_class():
    # the first ten digits of the source are 0 to 9, in order
    assert [name for name, _, _ in bundled.digits()[:10]] == [f"000{i}-digit{i}" for i in range(10)]


def test_the_split_of_digits_never_changes():
    first = [name for name, split, _ in bundled.digits() if split == "train"][:5]

    assert first == ["0006-digit6", "0014-digit4", "0018-digit8", "0080-digit1", "0107-digit1"]


def test_faces_are_a_hundred_distinct_grey_images_to_train_on():
    images = bundled.faces()

    assert len(images) == 100
    assert {split for _, split, _ in images} == {"train"}
    assert all(image.shape == (25, 25) and image.dtype == np.uint8 for _, _, image in images)
    assert len({image.tobytes() for _, _, image in images}) == 100
    assert np.stack([image for _, _, image in images]).max() > 250  # 0..1 was spread over 0..255


def test_tiles_of_tissue_share_no_pixel_and_leave_none_out():
    images = bundled.tissue()
    slide = np.zeros((512, 512, 3), np.uint8)
    seen = np.zeros((512, 512), int)
    for name, _, tile in images:
        y, x = int(name[1:4]), int(name[6:9])
        slide[y : y + 32, x : x + 32] = tile
        seen[y : y + 32, x : x + 32] += 1
    np.testing.assert_array_equal(seen, 1)
    np.testing.assert_array_equal(slide, data.immunohistochemistry())


def test_tissue_is_trained_on_and_held_out_by_fields():
    splits = {name: split for name, split, _ in bundled.tissue()}

    assert collections.Counter(splits.values()) == {"train": 128, "heldout": 128}
    assert splits["y000-x000"] == splits["y096-x096"] == splits["y128-x128"] == "train"
    assert splits["y000-x128"] == splits["y128-x000"] == splits["y096-x480"] == "heldout"
