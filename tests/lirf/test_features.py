"""Feature spaces: shapes, ranges, and what they say about themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lirf import features

IMAGES = arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.just(4), st.just(5))
)


@given(IMAGES)
def test_pixels_are_the_image(images):
    space = features.pixels()
    found = space.extract(images)
    assert (space.name, space.hash) == ("pixels", None)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(np.rint(found * 255).reshape(images.shape), images)


def test_pixels_lie_between_zero_and_one():
    np.testing.assert_array_equal(
        features.pixels().extract(np.array([[[[0, 51, 255]]]], np.uint8)), [[0, 0.2, 1]]
    )


def test_pixels_refuse_images_that_are_not_bytes():
    with pytest.raises(ValueError, match="uint8, got float32"):
        features.pixels().extract(np.zeros((1, 1, 2, 2), np.float32))


def test_latents_are_what_the_encoder_makes_flattened():
    def encode(images):
        return np.stack([images.sum(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))], axis=1)[
            :, :, None, None
        ].astype(np.float32)

    space = features.latents("abc123", encode)
    found = space.extract(np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2))
    assert (space.name, space.hash) == ("latents", "abc123")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[6, 3], [22, 7]])


@given(IMAGES)
def test_mirroring_turns_left_and_right_around_and_twice_is_nothing(images):
    mirrored = features.mirror(images)
    np.testing.assert_array_equal(mirrored[..., 0], images[..., -1])
    np.testing.assert_array_equal(features.mirror(mirrored), images)
