"""In blocks and by fronts, the same rows in the same order as one at a time."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.densify import farthest

Greedy = Callable[[np.ndarray, np.ndarray, int], list[int]]


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 70),
    dimension=st.sampled_from([1, 2, 5, 40]),
    offset=st.sampled_from([0.0, 1e3]),
    front=st.integers(1, 20),
    block=st.sampled_from([1, 200, 2**23]),
    rounded=st.booleans(),
)
def test_the_order_is_the_greedy_one(
    one_by_one: Greedy,
    seed: int,
    count: int,
    dimension: int,
    offset: float,
    front: int,
    block: int,
    rounded: bool,
):
    """Rounded rows have many twins and ties, which go to the lowest index."""
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((count, dimension))
    rows = ((rows.round() if rounded else rows) + offset).astype(np.float32)
    gap = generator.random(count).astype(np.float32).astype(np.float64) * 3
    gap = gap.round() if rounded else gap
    wanted = int(generator.integers(1, count + 1))
    expected = one_by_one(rows, gap, wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(farthest, "LEAST_FRONT", front)
        patch.setattr(farthest, "BLOCK_BYTES", block)
        assert farthest.first(rows, gap, wanted).tolist() == expected


def test_with_fronts_of_their_own_size(one_by_one: Greedy):
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((1500, 16), np.float32)
    gap = 4 + generator.random(1500)
    assert farthest.first(rows, gap.copy(), 900).tolist() == one_by_one(rows, gap, 900)
