"""What the pull of a round measures, against its definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.params import Correct
from lirf.pull import Pull, correct

CONFIG = Correct.model_validate({"neighbours": 3, "temperature": 1.0})
seeds = st.integers(0, 2**32 - 1)


def latents(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, 1, 2), np.float32)


def pull(z: np.ndarray, bank: np.ndarray, real: int, lambda_: float = 0.5) -> Pull:
    """Correct `z` with a bank whose first `real` rows are real, in pairs of one image."""
    group = np.where(np.arange(len(bank)) < real, np.arange(len(bank)) // 2, np.arange(len(bank)))
    return correct(z, bank, np.arange(len(bank)) < real, group, CONFIG, lambda_)


def length(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x.reshape(len(x), -1).astype(np.float64), axis=1)


@given(seeds, st.floats(0.1, 1))
def test_distances_are_those_of_the_result(seed: int, lambda_: float):
    z, bank = latents(seed, 5), latents(seed + 1, 12)
    done = pull(z, bank, real=8, lambda_=lambda_)
    np.testing.assert_allclose(done.displacement, length(z - done.latents), atol=1e-5)
    nearest = [length(bank[:8] - row).min() for row in done.latents]
    np.testing.assert_allclose(done.novelty, nearest, atol=1e-5)
    np.testing.assert_allclose(done.weights.sum(axis=1), 1)


@given(seeds)
def test_a_real_row_is_judged_like_a_candidate_that_the_bank_lacks(seed: int):
    """Take a pair out of the bank and offer it: it moves as it did when left out."""
    bank = latents(seed, 12)
    whole = pull(latents(seed + 1, 2), bank, real=8)
    without = pull(bank[:2], bank[2:], real=6)
    np.testing.assert_allclose(without.displacement, whole.anchors[:2], rtol=1e-12)


def test_twins_do_not_set_the_spacing():
    images = latents(0, 4)
    twins = np.repeat(images, 2, axis=0) + 1e-3 * latents(1, 8)
    done = pull(latents(2, 2), twins, real=8)
    apart = np.linalg.norm((images[:, None] - images[None]).reshape(4, 4, -1), axis=2)
    nearest = np.where(np.eye(4, dtype=bool), np.inf, apart).min(axis=1)
    assert done.spacing == pytest.approx(np.median(nearest), abs=0.02)
