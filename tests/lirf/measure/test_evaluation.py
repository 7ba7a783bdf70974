"""All metrics at once: each against its own reference, and none by order or rotation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from lirf.features import features, pixels
from lirf.features.features import Features
from lirf.measure.distances import frechet
from lirf.measure.diversity import vendi
from lirf.measure.duplicates import near_duplicates
from lirf.measure.evaluation import compare, measure
from lirf.measure.fidelity import fidelity
from lirf.measure.memorised import MEMORISED_RATIO, calibrate, find_memorised
from lirf.measure.sharpness import sharpness


def gaussian(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_compare_puts_every_measure_against_its_own_reference():
    fake, real, train = gaussian(28, 130, 4) + 1, gaussian(29, 120, 4), gaussian(30, 2, 9, 4) + 1
    values, memorised = compare(fake, real, train, neighbours=3)
    found = fidelity(fake, real, 3)
    assert values == {
        "memorised": find_memorised(fake, train).share,
        "precision": found.precision, "recall": found.recall,
        "density": found.density, "coverage": found.coverage,
        "frechet": frechet(fake, real).value, "frechet_reason": None,
        "vendi": vendi(fake - train[0].mean(axis=0)),
    }  # fmt: skip
    assert memorised.nearest.shape == (130, 4)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_order_and_rotation_do_not_matter(seed):
    generator = np.random.default_rng(seed)
    fake, real = gaussian(seed, 110, 4), gaussian(seed + 1, 105, 4) + 0.5
    turn = ortho_group.rvs(4, random_state=seed)

    def everything(x, y):
        found = fidelity(x, y, 3)
        return [
            find_memorised(x, y[None]).share, frechet(x, y).value, vendi(x),
            found.precision, found.recall, found.density, found.coverage,
        ]  # fmt: skip

    expected = everything(fake, real)
    shuffled = generator.permutation(fake), generator.permutation(real)
    assert everything(*shuffled) == pytest.approx(expected)
    assert everything(fake @ turn, real @ turn) == pytest.approx(expected)


def images(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 2, 3), np.uint8)


FAKE, REAL, KNOWN = images(0, 130), images(1, 120), images(2, 9)


def mean(images_NCHW: np.ndarray) -> np.ndarray:
    """Features that see little."""
    return pixels.extract(images_NCHW).mean(axis=1, keepdims=True).repeat(2, axis=1)


BLIND = Features("mean", None, mean)


def test_numbers_in_pixels_are_those_of_the_features_alone():
    found, memorised = measure(FAKE, REAL, [KNOWN], features.of("pixels"), 3, heldout=True)
    fake, real, known = (pixels.extract(shown) for shown in (FAKE, REAL, KNOWN))
    expected, same = compare(fake, real, known[None], 3)
    assert {key: found[key] for key in expected} == expected
    np.testing.assert_array_equal(memorised.nearest, same.nearest)
    assert (found["memorised_pixels"], found["memorised_pixels_heldout"]) == (None, None)


def test_held_out_images_stand_beside_samples_in_features_and_in_pixels():
    known_VNCHW = [KNOWN, KNOWN[..., ::-1]]
    found, memorised = measure(FAKE, REAL, known_VNCHW, BLIND, 3, heldout=True)
    for suffix, shown in (("", FAKE), ("_heldout", REAL)):
        for key, extract in (("memorised", mean), ("memorised_pixels", pixels.extract)):
            known = np.stack([extract(KNOWN), extract(KNOWN[..., ::-1])])
            share = find_memorised(extract(shown), known).share
            assert found[key + suffix] == share
        assert found[f"sharpness{suffix}"] == sharpness(shown)
    shares = {
        found[key] for key in found if key.startswith("memorised") and key != "memorised_ratio"
    }
    assert len(shares) == 4, "no number stands for another"
    assert memorised.share == found["memorised"]


def test_in_features_of_a_network_training_images_say_what_is_near():
    known_VNCHW = [KNOWN, KNOWN[..., ::-1]]
    seen = replace(features.of("pixels"), network=True)
    found, memorised = measure(FAKE, REAL, known_VNCHW, seen, 3, heldout=True)
    train, real = np.stack([seen.extract(x) for x in known_VNCHW]), seen.extract(REAL)
    limit = calibrate(train)
    assert found["memorised_ratio"] == memorised.limit == limit != MEMORISED_RATIO
    assert found["memorised"] == find_memorised(seen.extract(FAKE), train, limit).share
    assert found["memorised_heldout"] == find_memorised(real, train, limit).share > 0


def test_near_duplicates_are_sought_in_pixels_too():
    """A network may see an image saved again as a rather different one; pixels do not."""
    rng = np.random.default_rng(3)
    seen, new = (rng.integers(0, 128, (60, 1, 8, 8), np.uint8) * 2 for _ in range(2))
    train = np.concatenate([seen, seen + 1])

    def extract(images_NCHW: np.ndarray) -> np.ndarray:
        odd_N1 = images_NCHW[:, 0, :1, 0] % 2 == 1
        return np.concatenate([pixels.extract(images_NCHW), 2 * odd_N1], axis=1)

    assert (near_duplicates(extract(train)[None]) < 0).all()
    found, memorised = measure(
        seen, new, [train], Features("network", None, extract, network=True), 3, heldout=True
    )
    assert found["memorised"] == found["memorised_pixels"] == 1
    assert memorised.limit == pytest.approx(calibrate(extract(seen)[None]), abs=0.03)
    assert calibrate(extract(train)[None]) < memorised.limit - 0.1, "what one look alone would say"


def test_without_held_out_images_there_is_nothing_to_stand_beside():
    found, _ = measure(FAKE, KNOWN, [KNOWN], BLIND, 3, heldout=False)
    assert {key: value for key, value in found.items() if key.endswith("_heldout")} == {
        "memorised_heldout": None, "memorised_pixels_heldout": None, "sharpness_heldout": None
    }  # fmt: skip
    assert found["memorised_pixels"] is not None
