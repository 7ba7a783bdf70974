"""Feature spaces by name: what they are and what they say of themselves."""

import numpy as np

from lirf.features import edges, features, pixels


def test_what_has_no_weights_says_so():
    assert features.of("pixels") == features.Features("pixels", None, pixels.extract)
    assert features.of("edges") == features.Features("edges", None, edges.extract)


def test_latents_are_what_the_encoder_makes_flattened():
    def encode(images):
        return np.stack([images.sum(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))], axis=1)[
            :, :, None, None
        ].astype(np.float32)

    space = features.of("latents", features.Encoder("abc123", encode))
    found = space.extract(np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2))
    assert (space.name, space.hash) == ("latents", "abc123")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[6, 3], [22, 7]])
