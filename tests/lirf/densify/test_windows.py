"""Windows cover a latent, and their likes are the squares beside their place."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lirf.densify import windows

sides = st.integers(2, 9)


@given(sides, sides, st.data())
def test_windows_cover_every_place_and_overlap_by_half(height, width, data):
    side = data.draw(st.integers(2, min(height, width)))
    seen_HW = np.zeros((1, 1, height, width))
    for window in windows.cover(height, width, side, reach=0):
        assert window.of(seen_HW).shape == (1, 1, side, side)
        window.of(seen_HW)[...] += 1
    assert seen_HW.min() >= 1
    assert seen_HW.max() <= 9, "at most three along either side hold a place"


@given(sides, sides, st.integers(0, 3), st.data())
def test_the_likes_of_a_window_are_all_squares_within_reach(height, width, reach, data):
    side = data.draw(st.integers(2, min(height, width)))
    z_NCHW = np.random.default_rng(0).random((3, 2, height, width))
    for window in windows.cover(height, width, side, reach):
        likes_SNCwh = window.likes(z_NCHW)
        expected = [
            z_NCHW[:, :, top : top + side, left : left + side]
            for top in range(height - side + 1)
            for left in range(width - side + 1)
            if max(abs(top - window.top), abs(left - window.left)) <= reach
        ]
        np.testing.assert_array_equal(likes_SNCwh, np.stack(expected))
        assert any((like == window.of(z_NCHW)).all() for like in likes_SNCwh)
