from __future__ import annotations

import collections

import numpy as np

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
