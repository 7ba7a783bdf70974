"""All metrics at once: each against its own reference, and none by order or rotation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from lirf.measure.distances import frechet
from lirf.measure.diversity import vendi
from lirf.measure.evaluation import compare
from lirf.measure.fidelity import fidelity
from lirf.measure.memorised import find_memorised


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
