"""Image quality against hand-made cases and the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from lirf.autoencoder import quality


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_psnr_of_a_known_error() -> None:
    black = np.zeros((3, 1, 8, 8), np.uint8)
    assert quality.psnr(black, black + 16) == pytest.approx(20 * np.log10(255 / 16))


def test_psnr_is_the_mean_over_images_of_scikit_images() -> None:
    a, b = noise(4, 3, 8, 8), noise(4, 3, 8, 8, seed=1)
    expected = [peak_signal_noise_ratio(x, y, data_range=255) for x, y in zip(a, b, strict=True)]
    assert quality.psnr(a, b) == pytest.approx(np.mean(expected))


def test_psnr_of_identical_images_is_finite_and_best() -> None:
    a = noise(2, 1, 8, 8)
    b = a.copy()
    b[:, :, 0, 0] ^= 16
    assert quality.psnr(a, b) < quality.psnr(a, a) == pytest.approx(58.92, abs=0.01)


@pytest.mark.parametrize("side", [3, 4, 8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_fits_small_images(side: int, channels: int) -> None:
    a = noise(2, channels, side, side)
    assert quality.ssim(a, a) == pytest.approx(1)
    assert quality.ssim(a, 255 - a) < 0


@pytest.mark.parametrize("channels", [1, 3])
def test_sharpness_is_a_share_of_the_originals(channels: int) -> None:
    a = noise(2, channels, 8, 8) // 4 * 2
    assert quality.sharpness(a, a) == pytest.approx(1)
    assert quality.sharpness(a, a // 2) == pytest.approx(0.5)
    assert quality.sharpness(a, np.zeros_like(a)) == 0
    assert quality.sharpness(np.zeros_like(a), a) == 1  # nothing to compare with


def test_sharpness_sees_edges_of_grey_values_along_both_axes() -> None:
    edge = np.zeros((1, 3, 4, 4), np.uint8)
    edge[:, :, :, 2:] = 90
    assert quality.sharpness(edge, edge.swapaxes(2, 3)) == pytest.approx(1)
    red = edge * np.array([1, 0, 0], np.uint8)[:, None, None]
    assert quality.sharpness(edge, red) == pytest.approx(0.299)


def test_moved_is_a_share_of_the_way_to_the_neighbour() -> None:
    images = np.zeros((3, 1, 2, 2), np.uint8)
    images[1, 0, 0, 0], images[2, 0, 0, 0] = 40, 240  # nearest others: 40, 40 and 200 away
    rebuilt = images.copy()
    rebuilt[:, 0, 1, 1] = [10, 0, 100]
    np.testing.assert_allclose(quality.moved(images, rebuilt), [0.25, 0, 0.5])


def test_pca_is_lossless_within_its_rank_and_lossy_beyond() -> None:
    rng = np.random.default_rng(0)
    factors, basis = rng.normal(size=(40, 3)), rng.normal(size=(3, 64))
    images = np.rint(np.clip(128 + 15 * factors @ basis, 0, 255)).astype(np.uint8)
    images = images.reshape(40, 1, 8, 8)
    train, heldout = images[:30], images[30:]
    assert quality.psnr(heldout, quality.pca_round_trip(train, heldout, 3)) > 50
    assert quality.psnr(heldout, quality.pca_round_trip(train, heldout, 2)) < 35


def test_pca_has_no_more_components_than_images() -> None:
    images = noise(5, 1, 8, 8)
    rebuilt = quality.pca_round_trip(images, images, 64)
    np.testing.assert_array_equal(rebuilt, images)  # N - 1 components span the N images
    others = noise(5, 1, 8, 8, seed=1)
    assert quality.psnr(others, quality.pca_round_trip(images, others, 64)) < 20


def test_pca_of_many_images_is_that_of_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (21, 1, 4, 4), dtype=np.uint8)
    whole = quality.pca_round_trip(images[:8], images, 5)
    monkeypatch.setattr(quality, "BLOCK_BYTES", 8 * 16 * 4)
    np.testing.assert_array_equal(quality.pca_round_trip(images[:8], images, 5), whole)
