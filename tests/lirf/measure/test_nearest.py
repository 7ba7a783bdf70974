"""What samples can have memorised, and that its picture shows the version that is nearest."""

import numpy as np

from lirf.features import features
from lirf.measure import nearest
from lirf.measure.memorised import find_memorised
from lirf.report import pictures

TRAIN = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), np.uint8)


def halved(images_NCHW: np.ndarray) -> np.ndarray:
    return images_NCHW // 2


def test_versions_are_the_images_their_mirror_images_and_the_round_trips_of_both():
    mirrored = TRAIN[..., ::-1]
    expected = [TRAIN, mirrored, TRAIN // 2, mirrored // 2]
    found = nearest.versions(TRAIN, halved)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_memorised_mirror_image_is_framed_and_shown_beside_its_mirror_image():
    samples = np.stack([TRAIN[3, ..., ::-1], TRAIN[3, ..., ::-1] // 2])
    extract = features.of("pixels").extract
    versions = nearest.versions(TRAIN, halved)
    memorised = find_memorised(extract(samples), np.stack([extract(one) for one in versions]))
    assert memorised.memorised.all()
    found = np.asarray(nearest.panel(samples, TRAIN, memorised, ["a", "b"]))
    tile = pictures.enlarge(TRAIN[3:4, ..., ::-1])[0]
    left = 48 + 2 * pictures.GAP + pictures.MARGIN + pictures.GAP
    for top in (pictures.GAP, 48 + 2 * pictures.GAP + 2 * pictures.GAP):
        np.testing.assert_array_equal(found[top : top + 48, left : left + 48], tile)
        assert tuple(found[top, left - 1]) == pictures.MARK
