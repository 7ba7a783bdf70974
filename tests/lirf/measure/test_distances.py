"""The Frechet distance in closed form, and as torch-fidelity finds it."""

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from lirf.measure.distances import frechet


def gaussian(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


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
    assert frechet(fake, real).value == pytest.approx(expected, rel=1e-10)


def test_frechet_of_gaussians_whose_covariances_do_not_commute():
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, -0.5], [-0.5, 0.7]])
    # In two dimensions (tr (A B)^(1/2))^2 = tr(A B) + 2 sqrt(det A det B).
    cross = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    zero = np.zeros(2)
    found = frechet(with_moments(12, 100, zero, a), with_moments(13, 100, zero, b))
    assert found.value == pytest.approx(np.trace(a) + np.trace(b) - 2 * cross, rel=1e-10)


def test_frechet_agrees_with_torch_fidelity():
    fake, real = gaussian(14, 300, 8) @ gaussian(15, 8, 8), gaussian(16, 200, 8) + 0.2
    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (fake, real)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet(fake, real).value == pytest.approx(expected, rel=1e-8)


def test_frechet_when_features_outnumber_rows():
    # All variation lies in 3 of 500 directions: rotating it there changes nothing.
    fake, real = gaussian(17, 120, 3), gaussian(18, 130, 3) * 2
    embedding = np.linalg.qr(gaussian(19, 500, 3))[0].T
    expected = frechet(fake, real).value
    assert frechet(fake @ embedding, real @ embedding).value == pytest.approx(expected)


def test_frechet_of_a_set_with_itself_is_zero():
    real = gaussian(20, 100, 5)
    value = frechet(real, real[::-1]).value
    assert value == pytest.approx(0, abs=1e-12)
    assert value is not None
    assert value >= 0


@pytest.mark.parametrize(("m", "n"), [(99, 200), (200, 99)])
def test_frechet_refuses_few_rows_and_says_why(m, n):
    found = frechet(gaussian(21, m, 3), gaussian(22, n, 3))
    assert found.value is None
    assert found.reason is not None
    assert "99" in found.reason
    assert "100" in found.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_is_refused(bad):
    good = gaussian(24, 120, 3)
    broken = good.copy()
    broken[5, 1] = bad
    for pair in ((broken, good), (good, broken)):
        with pytest.raises(ValueError, match="NaN or infinity"):
            frechet(*pair)
