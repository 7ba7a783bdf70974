"""Features are checked before they are measured, and what is wrong is said."""

import numpy as np
import pytest

from lirf.measure.rows import checked


def test_good_rows_come_back_in_float64():
    found = checked(np.ones((2, 3), np.float32), "samples", 2)
    assert found.dtype == np.float64
    assert found.shape == (2, 3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones(3), r"samples must be \[rows, F\], got shape \(3,\)"),
        (np.ones((1, 3)), "1 samples: at least 2 are needed"),
        (np.array([[1.0, np.nan], [0, 0]]), "samples contain NaN or infinity"),
        (np.array([[1.0, -np.inf], [0, 0]]), "samples contain NaN or infinity"),
    ],
)
def test_what_cannot_be_measured_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        checked(rows, "samples", 2)
