"""Pixels as features: their values and range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lirf.features import pixels

IMAGES = arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.just(4), st.just(5))
)


@given(IMAGES)
def test_pixels_are_the_image(images):
    found = pixels.extract(images)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(np.rint(found * 255).reshape(images.shape), images)


def test_pixels_lie_between_zero_and_one():
    np.testing.assert_array_equal(
        pixels.extract(np.array([[[[0, 51, 255]]]], np.uint8)), [[0, 0.2, 1]]
    )


def test_pixels_refuse_images_that_are_not_bytes():
    with pytest.raises(ValueError, match="uint8, got float32"):
        pixels.extract(np.zeros((1, 1, 2, 2), np.float32))
