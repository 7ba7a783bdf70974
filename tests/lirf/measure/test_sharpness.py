"""Sharpness by hand, in grey and in colour."""

import numpy as np
import pytest

from lirf.measure.sharpness import sharpness


def test_by_hand():
    image = np.array([[[[0, 10], [30, 30]]]], np.uint8)
    assert sharpness(image) == pytest.approx((10 + 0 + 30 + 20) / 4)


def test_sides_of_different_length_count_every_pair_once():
    image = np.zeros((1, 1, 1, 3), np.uint8)
    image[..., 1] = 90
    assert sharpness(image) == pytest.approx(90)


def test_colours_count_by_their_grey_value():
    image = np.zeros((1, 3, 1, 2), np.uint8)
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        one = image.copy()
        one[0, channel, 0, 1] = 100
        assert sharpness(one) == pytest.approx(100 * weight)
    grey = np.random.default_rng(0).integers(0, 256, (2, 1, 4, 4), np.uint8)
    assert sharpness(grey.repeat(3, axis=1)) == pytest.approx(sharpness(grey))


def test_blur_lowers_it():
    sharp = np.random.default_rng(0).integers(0, 256, (3, 1, 9, 9), np.uint8)
    blurred = (sharp[..., :-1] // 2 + sharp[..., 1:] // 2).astype(np.uint8)
    assert sharpness(blurred) < 0.8 * sharpness(sharp)
