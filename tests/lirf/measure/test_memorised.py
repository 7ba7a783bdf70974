"""Memorised samples follow their definition, whatever the versions, ties and blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lirf.measure import memorised
from lirf.measure.memorised import CALIBRATED_SHARE, MEMORISED_RATIO, calibrate, find_memorised


def no_duplicates(train: np.ndarray) -> np.ndarray:
    return np.empty((train.shape[-2], 0), np.int64)


def gaussian(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_memorised_on_a_line():
    train = np.array([[0.0], [4.0], [8.0]])
    fake = np.array([[0.5], [1.5], [4.0], [7.0], [1.0]])
    found = find_memorised(fake, train[None], nearest=3, alike=no_duplicates(train))
    np.testing.assert_array_equal(
        found.nearest, [[0, 1, 2], [0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 1, 2]]
    )
    np.testing.assert_allclose(found.ratio, [0.5 / 3.5, 1.5 / 2.5, 0, 1 / 3, 1 / 3])
    # The last two lie exactly at a third, which is not closer than a third.
    np.testing.assert_array_equal(found.memorised, [True, False, True, False, False])
    assert found.share == 0.4


def test_a_mirrored_image_is_memorised():
    train = gaussian(0, 20, 12)
    versions = np.stack([train, train[:, ::-1]])
    fake = train[:5, ::-1] + 1e-3
    assert find_memorised(fake, versions).share == 1
    assert find_memorised(fake, versions[:1]).share == 0
    found = find_memorised(fake, versions)
    np.testing.assert_array_equal(found.nearest[:, 0], np.arange(5))
    assert (found.version[:, 0] == 1).all()


def test_the_second_nearest_is_another_image_and_not_the_other_version():
    symmetric = np.array([[1.0, 2.0, 1.0], [9.0, 0.0, 9.0]])
    versions = np.stack([symmetric, symmetric[:, ::-1]])
    assert find_memorised(symmetric[:1] + 0.01, versions).share == 1


def test_a_training_image_given_twice_does_not_hide_that_it_is_memorised():
    train = gaussian(1, 10, 8)
    twice = np.concatenate([train, train[:1]])
    found = find_memorised(train[:1] + 0.01, twice[None])
    assert found.share == 1
    assert found.nearest[0, 0] == 0
    assert 10 not in found.nearest


def test_the_second_is_the_nearest_that_is_no_near_duplicate_of_the_first():
    train = np.array([[0.0], [1.0], [1.2], [10.0], [30.0]])
    alike = np.array([[2, -1], [-1, -1], [0, -1], [-1, -1], [-1, -1]])
    fake = np.array([[-0.1], [1.05], [9.0]])
    found = find_memorised(fake, train[None], nearest=2, alike=alike)
    np.testing.assert_allclose(found.ratio, [0.1 / 1.1, 0.05 / 0.15, 1 / 7.8])
    assert found.nearest.tolist() == [[0, 1], [1, 2], [3, 2]], "all are listed"
    every = np.array([[1, 2], [0, 2], [0, 1]])
    ratio = find_memorised(fake[:1], train[None, :3], alike=every).ratio
    np.testing.assert_allclose(ratio, 0.1 / 1.3)  # the farthest, where all are


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 9), st.integers(1, 5),
    st.integers(1, 3),
)  # fmt: skip
def test_memorised_samples_follow_their_definition(seed, m, n, f, v):
    fake, train = gaussian(seed, m, f), gaussian(seed + 1, v, n, f)
    found = find_memorised(fake, train, nearest=2, alike=no_duplicates(train))
    for i in range(m):
        distance = [min(np.linalg.norm(fake[i] - train[j, k]) for j in range(v)) for k in range(n)]
        first, second = np.sort(distance)[:2]
        assert found.ratio[i] == pytest.approx(first / second)
        assert found.distance[i] == pytest.approx([first, second])
        assert found.memorised[i] == (first < second / 3)


def test_a_limit_of_ones_own_is_what_decides():
    fake, train = gaussian(3, 40, 6), gaussian(4, 1, 30, 6)
    found = find_memorised(fake, train, 0.8)
    np.testing.assert_array_equal(found.memorised, found.ratio < 0.8)
    assert find_memorised(fake, train).share < found.share < 1


def test_held_out_rows_are_called_memorised_as_often_as_training_rows():
    rows = gaussian(5, 900, 200)  # where all distances are much alike
    train, fresh = rows[:300], rows[300:]
    limit = calibrate(np.stack([train, -train]))
    share = find_memorised(fresh, np.stack([train, -train]), limit).share
    assert share == pytest.approx(CALIBRATED_SHARE, abs=0.03)
    near = train + gaussian(6, 300, 200) * 0.7  # noise that leaves a row far from being found
    assert find_memorised(near, train[None]).share < 0.01
    assert find_memorised(near, train[None], limit).share > 0.9


def test_a_limit_is_what_leaving_each_row_out_says():
    train = gaussian(8, 2, 25, 5)
    ratios = [
        find_memorised(train[:1, row], left, alike=no_duplicates(left)).ratio[0]
        for row in range(25)
        for left in [np.delete(train, row, axis=1)]
    ]
    assert calibrate(train, no_duplicates(train)) == pytest.approx(
        np.quantile(ratios, CALIBRATED_SHARE)
    )
    assert calibrate(train[:, :2]) == MEMORISED_RATIO


def test_an_equal_image_is_at_distance_zero_in_spite_of_rounding():
    train = gaussian(27, 40, 3000)
    np.testing.assert_array_equal(find_memorised(train, train[None]).ratio, 0)


def test_more_versions_than_images_and_more_asked_for_than_there_are():
    train = gaussian(31, 40, 3, 2)
    found = find_memorised(train[17], train, nearest=9)
    np.testing.assert_array_equal(found.nearest[:, 0], np.arange(3))
    assert (found.version[:, 0] == 17).all()
    assert np.sort(found.nearest, axis=1).tolist() == [[0, 1, 2]] * 3
    assert (np.diff(found.distance, axis=1) >= 0).all()


def test_of_images_equally_far_the_earlier_comes_first():
    train = np.array([[3.0], [1.0], [-1.0], [3.0 + 1e-3]])
    found = find_memorised(np.zeros((1, 1)), np.stack([train, -train]), nearest=4)
    assert found.nearest.tolist() == [[1, 2, 0, 3]]
    assert found.version.tolist() == [[0, 0, 0, 0]]


def test_blocks_do_not_change_the_result(monkeypatch):
    fake, train = gaussian(6, 70, 4), gaussian(7, 2, 90, 4)
    whole = find_memorised(fake, train)
    monkeypatch.setattr(memorised, "BLOCK_BYTES", 8 * 8 * 4 * 3)
    for one, other in zip(
        vars(whole).values(), vars(find_memorised(fake, train)).values(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_cannot_be_measured_is_refused(bad):
    good = gaussian(24, 120, 3)
    broken = good.copy()
    broken[5, 1] = bad
    for fake, train in ((broken, good), (good, broken)):
        with pytest.raises(ValueError, match="NaN or infinity"):
            find_memorised(fake, train[None])
    with pytest.raises(ValueError, match="1 different training images: at least 2"):
        find_memorised(good, np.repeat(good[None, :1], 3, axis=1))
    with pytest.raises(ValueError, match=r"must be \[V, N, F\]"):
        find_memorised(good, good)
