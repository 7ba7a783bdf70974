"""Metrics against hand-made arrays, their definitions written out, and torch-fidelity."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_prc import calculate_precision_recall_full

from lirf.measure import metrics


def gaussian(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# Copies


def test_copies_on_a_line():
    train = np.array([[0.0], [4.0], [8.0]])
    fake = np.array([[0.5], [1.5], [4.0], [7.0], [1.0]])
    found = metrics.find_memorised(fake, train[None], nearest=3)
    np.testing.assert_array_equal(
        found.nearest, [[0, 1, 2], [0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 1, 2]]
    )
    np.testing.assert_allclose(found.ratio, [0.5 / 3.5, 1.5 / 2.5, 0, 1 / 3, 1 / 3])
    # The last two lie exactly at a third, which is not closer than a third.
    np.testing.assert_array_equal(found.memorised, [True, False, True, False, False])
    assert found.share == 0.4


def test_a_mirrored_copy_is_a_copy():
    train = gaussian(0, 20, 12)
    versions = np.stack([train, train[:, ::-1]])
    fake = train[:5, ::-1] + 1e-3
    assert metrics.find_memorised(fake, versions).share == 1
    assert metrics.find_memorised(fake, versions[:1]).share == 0
    found = metrics.find_memorised(fake, versions)
    np.testing.assert_array_equal(found.nearest[:, 0], np.arange(5))
    assert (found.version[:, 0] == 1).all()


def test_the_second_nearest_is_another_image_and_not_the_other_version():
    symmetric = np.array([[1.0, 2.0, 1.0], [9.0, 0.0, 9.0]])
    versions = np.stack([symmetric, symmetric[:, ::-1]])
    assert metrics.find_memorised(symmetric[:1] + 0.01, versions).share == 1


def test_a_training_image_given_twice_does_not_hide_its_copies():
    train = gaussian(1, 10, 8)
    twice = np.concatenate([train, train[:1]])
    found = metrics.find_memorised(train[:1] + 0.01, twice[None])
    assert found.share == 1
    assert found.nearest[0, 0] == 0
    assert 10 not in found.nearest


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 9), st.integers(1, 5),
    st.integers(1, 3),
)  # fmt: skip
def test_copies_follow_their_definition(seed, m, n, f, v):
    fake, train = gaussian(seed, m, f), gaussian(seed + 1, v, n, f)
    found = metrics.find_memorised(fake, train, nearest=2)
    for i in range(m):
        distance = [min(np.linalg.norm(fake[i] - train[j, k]) for j in range(v)) for k in range(n)]
        first, second = np.sort(distance)[:2]
        assert found.ratio[i] == pytest.approx(first / second)
        assert found.distance[i] == pytest.approx([first, second])
        assert found.memorised[i] == (first < second / 3)


def test_an_exact_copy_is_at_distance_zero_in_spite_of_rounding():
    train = gaussian(27, 40, 3000)
    np.testing.assert_array_equal(metrics.find_memorised(train, train[None]).ratio, 0)
    # So the balls of images that repeat one another hold their copies.
    repeated = np.repeat(train[:5], 4, axis=0)
    assert metrics.fidelity(train[:5], repeated, neighbours=3).precision == 1


# Precision, recall, density, coverage


def test_fidelity_by_hand():
    # Balls of the real points, k = 1: radius 1 about 0 and 1, radius 9 about 10.
    real = np.array([[0.0], [1.0], [10.0]])
    # Radii 3, 2, 2, 18, 78 about the samples.
    fake = np.array([[-3.0], [0.0], [2.0], [20.0], [98.0]])
    found = metrics.fidelity(fake, real, neighbours=1)
    # -3: none; 0: about 0 and 1; 2: about 1 and 10; 20 and 98: none.
    assert found.precision == 2 / 5
    assert found.density == 4 / 5
    assert found.coverage == 1  # 0 covers 0 and 1, 2 covers 10
    assert found.recall == 1  # 20's ball reaches 10


def slow_fidelity(fake, real, k):
    """Write the sums of the two papers out, one pair at a time."""

    def radius(points, i):
        return sorted(np.linalg.norm(points[i] - p) for j, p in enumerate(points) if j != i)[k - 1]

    ball_real = [radius(real, i) for i in range(len(real))]
    ball_fake = [radius(fake, j) for j in range(len(fake))]
    in_real = np.array([[np.linalg.norm(y - x) <= r for x, r in zip(real, ball_real, strict=True)]
                        for y in fake])  # fmt: skip
    in_fake = np.array([[np.linalg.norm(y - x) <= r for y, r in zip(fake, ball_fake, strict=True)]
                        for x in real])  # fmt: skip
    return (
        np.mean([row.any() for row in in_real]),
        np.mean([row.any() for row in in_fake]),
        in_real.sum() / (k * len(fake)),
        np.mean([column.any() for column in in_real.T]),
    )


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1), st.integers(5, 20), st.integers(5, 20), st.integers(1, 6),
    st.integers(1, 4), st.floats(0, 2),
)  # fmt: skip
def test_fidelity_follows_its_definitions(seed, m, n, f, k, shift):
    fake, real = gaussian(seed, m, f) + shift, gaussian(seed + 1, n, f)
    found = metrics.fidelity(fake, real, k)
    expected = slow_fidelity(fake, real, k)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(expected)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_precision_and_recall_agree_with_torch_fidelity(shift):
    fake, real = gaussian(2, 150, 6) * 0.7 + shift, gaussian(3, 120, 6)
    found = metrics.fidelity(fake, real, neighbours=3)
    precision, recall = calculate_precision_recall_full(
        torch.from_numpy(fake), torch.from_numpy(real), neighborhood=3
    )
    assert found.precision != found.recall, "a swap must be visible"
    assert (found.precision, found.recall) == pytest.approx((precision, recall), abs=1e-6)


def test_a_model_that_repeats_one_image_has_precision_and_no_recall():
    real = gaussian(4, 80, 5)
    found = metrics.fidelity(np.repeat(real[:1], 80, axis=0), real, neighbours=5)
    assert found.precision == 1
    assert found.recall == 1 / 80
    assert found.coverage < 0.3


def test_the_reference_itself_scores_full_marks():
    real = gaussian(5, 60, 4)
    found = metrics.fidelity(real, real, neighbours=5)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density > 1  # every image lies in its own ball too


def test_blocks_do_not_change_the_result(monkeypatch):
    fake, real = gaussian(6, 70, 4), gaussian(7, 90, 4)
    whole = metrics.fidelity(fake, real, 5), metrics.find_memorised(fake, real[None])
    monkeypatch.setattr(metrics, "BLOCK_BYTES", 8 * 90 * 3)
    blocks = metrics.fidelity(fake, real, 5), metrics.find_memorised(fake, real[None])
    assert blocks[0] == whole[0]
    np.testing.assert_array_equal(blocks[1].nearest, whole[1].nearest)


# Frechet distance


def with_moments(seed: int, rows: int, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return a sample whose mean and covariance are exactly those given."""
    x = gaussian(seed, rows, len(mean))
    x -= x.mean(axis=0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_frechet_of_gaussians_with_commuting_covariances():
    basis = ortho_group.rvs(6, random_state=0)
    a, b = np.array([1.0, 4, 9, 0.25, 2, 3]), np.array([4.0, 1, 1, 1, 0.5, 3])
    mean_a, mean_b = gaussian(8, 6), gaussian(9, 6)
    fake = with_moments(10, 150, mean_a, basis @ np.diag(a) @ basis.T)
    real = with_moments(11, 400, mean_b, basis @ np.diag(b) @ basis.T)
    expected = ((mean_a - mean_b) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert metrics.frechet(fake, real).value == pytest.approx(expected, rel=1e-10)


def test_frechet_of_gaussians_whose_covariances_do_not_commute():
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, -0.5], [-0.5, 0.7]])
    # In two dimensions (tr (A B)^(1/2))^2 = tr(A B) + 2 sqrt(det A det B).
    cross = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    zero = np.zeros(2)
    found = metrics.frechet(with_moments(12, 100, zero, a), with_moments(13, 100, zero, b))
    assert found.value == pytest.approx(np.trace(a) + np.trace(b) - 2 * cross, rel=1e-10)


def test_frechet_agrees_with_torch_fidelity():
    fake, real = gaussian(14, 300, 8) @ gaussian(15, 8, 8), gaussian(16, 200, 8) + 0.2
    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (fake, real)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert metrics.frechet(fake, real).value == pytest.approx(expected, rel=1e-8)


def test_frechet_when_features_outnumber_rows():
    # All variation lies in 3 of 500 directions: rotating it there changes nothing.
    fake, real = gaussian(17, 120, 3), gaussian(18, 130, 3) * 2
    embedding = np.linalg.qr(gaussian(19, 500, 3))[0].T
    expected = metrics.frechet(fake, real).value
    assert metrics.frechet(fake @ embedding, real @ embedding).value == pytest.approx(expected)


def test_frechet_of_a_set_with_itself_is_zero():
    real = gaussian(20, 100, 5)
    value = metrics.frechet(real, real[::-1]).value
    assert value == pytest.approx(0, abs=1e-12)
    assert value is not None
    assert value >= 0


@pytest.mark.parametrize(("m", "n"), [(99, 200), (200, 99)])
def test_frechet_refuses_few_rows_and_says_why(m, n):
    found = metrics.frechet(gaussian(21, m, 3), gaussian(22, n, 3))
    assert found.value is None
    assert found.reason is not None
    assert "99" in found.reason
    assert "100" in found.reason


# Vendi score


def test_vendi_counts_orthogonal_rows_and_not_copies():
    assert metrics.vendi(np.eye(7) * np.arange(1, 8)) == pytest.approx(7)
    assert metrics.vendi(np.repeat(gaussian(23, 1, 9), 5, axis=0)) == pytest.approx(1)
    assert metrics.vendi(np.repeat(np.eye(3), 4, axis=0)) == pytest.approx(3)


def test_vendi_of_two_rows_by_hand():
    cosine = 0.6
    halves = np.array([(1 + cosine) / 2, (1 - cosine) / 2])
    expected = np.exp(-(halves * np.log(halves)).sum())
    assert metrics.vendi(np.array([[2.0, 0.0], [0.6, 0.8]])) == pytest.approx(expected)


def test_vendi_takes_black_images():
    assert metrics.vendi(np.zeros((4, 6))) == pytest.approx(1)
    assert metrics.vendi(np.array([[0.0, 0.0], [0.0, 1.0]])) == pytest.approx(2)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 15), st.integers(1, 15))
def test_vendi_lies_between_one_and_the_number_of_rows(seed, n, f):
    value = metrics.vendi(gaussian(seed, n, f))
    assert 1 - 1e-9 <= value <= min(n, f) + 1e-9


# All at once


def test_compare_puts_every_measure_against_its_own_reference():
    fake, real, train = gaussian(28, 130, 4) + 1, gaussian(29, 120, 4), gaussian(30, 2, 9, 4) + 1
    values, memorised = metrics.compare(fake, real, train, neighbours=3)
    fidelity = metrics.fidelity(fake, real, 3)
    assert values == {
        "memorised": metrics.find_memorised(fake, train).share,
        "precision": fidelity.precision, "recall": fidelity.recall,
        "density": fidelity.density, "coverage": fidelity.coverage,
        "frechet": metrics.frechet(fake, real).value, "frechet_reason": None,
        "vendi": metrics.vendi(fake - train[0].mean(axis=0)),
    }  # fmt: skip
    assert memorised.nearest.shape == (130, 4)


# What holds for all


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_order_and_rotation_do_not_matter(seed):
    generator = np.random.default_rng(seed)
    fake, real = gaussian(seed, 110, 4), gaussian(seed + 1, 105, 4) + 0.5
    turn = ortho_group.rvs(4, random_state=seed)

    def everything(x, y):
        fidelity = metrics.fidelity(x, y, 3)
        return [
            metrics.find_memorised(x, y[None]).share, metrics.frechet(x, y).value, metrics.vendi(x),
            fidelity.precision, fidelity.recall, fidelity.density, fidelity.coverage,
        ]  # fmt: skip

    expected = everything(fake, real)
    shuffled = generator.permutation(fake), generator.permutation(real)
    assert everything(*shuffled) == pytest.approx(expected)
    assert everything(fake @ turn, real @ turn) == pytest.approx(expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_is_refused(bad):
    good = gaussian(24, 120, 3)
    broken = good.copy()
    broken[5, 1] = bad
    for call in (
        lambda x, y: metrics.find_memorised(x, y[None]),
        lambda x, y: metrics.fidelity(x, y, 5),
        metrics.frechet,
    ):
        with pytest.raises(ValueError, match="NaN or infinity"):
            call(broken, good)
        with pytest.raises(ValueError, match="NaN or infinity"):
            call(good, broken)
    with pytest.raises(ValueError, match="NaN or infinity"):
        metrics.vendi(broken)


def test_too_few_rows_are_refused():
    few, many = gaussian(25, 5, 3), gaussian(26, 50, 3)
    with pytest.raises(ValueError, match="5 samples: at least 6"):
        metrics.fidelity(few, many, 5)
    with pytest.raises(ValueError, match="5 reference images: at least 6"):
        metrics.fidelity(many, few, 5)
    with pytest.raises(ValueError, match="1 different training images: at least 2"):
        metrics.find_memorised(many, np.repeat(few[None, :1], 3, axis=1))
