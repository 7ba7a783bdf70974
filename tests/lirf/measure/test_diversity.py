"""The Vendi score by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lirf.measure.diversity import vendi


def gaussian(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_vendi_counts_orthogonal_rows_and_not_repeated_ones():
    assert vendi(np.eye(7) * np.arange(1, 8)) == pytest.approx(7)
    assert vendi(np.repeat(gaussian(23, 1, 9), 5, axis=0)) == pytest.approx(1)
    assert vendi(np.repeat(np.eye(3), 4, axis=0)) == pytest.approx(3)


def test_vendi_of_two_rows_by_hand():
    cosine = 0.6
    halves = np.array([(1 + cosine) / 2, (1 - cosine) / 2])
    expected = np.exp(-(halves * np.log(halves)).sum())
    assert vendi(np.array([[2.0, 0.0], [0.6, 0.8]])) == pytest.approx(expected)


def test_vendi_takes_black_images():
    assert vendi(np.zeros((4, 6))) == pytest.approx(1)
    assert vendi(np.array([[0.0, 0.0], [0.0, 1.0]])) == pytest.approx(2)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 15), st.integers(1, 15))
def test_vendi_lies_between_one_and_the_number_of_rows(seed, n, f):
    value = vendi(gaussian(seed, n, f))
    assert 1 - 1e-9 <= value <= min(n, f) + 1e-9


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_is_refused(bad):
    with pytest.raises(ValueError, match="NaN or infinity"):
        vendi(np.array([[1.0, 2.0], [bad, 1.0]]))
