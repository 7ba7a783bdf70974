"""Images set aside: whole groups, chosen by the seed, looked at from first to last."""

import numpy as np
import pytest

from lirf.autoencoder import aside

GROUPS = np.arange(40) % 20  # an image and its mirrored twin


def test_a_share_of_whole_groups_is_set_aside() -> None:
    chosen_N = aside.split(GROUPS, 0.1, seed=0)
    assert chosen_N.sum() == 4
    np.testing.assert_array_equal(chosen_N[:20], chosen_N[20:])
    np.testing.assert_array_equal(chosen_N, aside.split(GROUPS, 0.1, seed=0))
    others = [aside.split(GROUPS, 0.1, seed=seed) for seed in range(1, 9)]
    assert any((chosen_N != other_N).any() for other_N in others)


def test_none_where_the_share_is_nothing_and_one_where_it_is_little() -> None:
    assert not aside.split(GROUPS, 0.0, seed=0).any()
    assert aside.split(GROUPS, 0.001, seed=0).sum() == 2


@pytest.mark.parametrize("steps", [1, 7, 20, 900])
def test_looks_begin_before_the_first_step_and_end_after_the_last(steps: int) -> None:
    moments = aside.moments(steps)
    assert (moments[0], moments[-1]) == (0, steps)
    assert len(moments) == min(steps, aside.LOOKS) + 1
    assert max(np.diff(moments)) <= -(-steps // aside.LOOKS)
