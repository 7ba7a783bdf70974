"""How well images survive a round trip: PSNR, SSIM, sharpness, confusion, and what PCA would do."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from lirf.measure import sharpness as of_all
from lirf.neighbours.search import nearest

LEAST_MSE = 1 / 12
"""Variance of rounding to whole grey levels: identical images score 58.9 dB, not infinity."""

BLOCK_BYTES = 2**28
"""Float64 pixels held at a time."""

WIDEST_WINDOW = 7
"""Side of the window of SSIM, in px, where the image is large enough."""


def psnr(original_NCHW: np.ndarray, other_NCHW: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of uint8 images in dB, averaged over images."""
    mse_N = _squared_errors(original_NCHW, other_NCHW) / original_NCHW[0].size
    return float((10 * np.log10(255**2 / np.maximum(mse_N, LEAST_MSE))).mean())


def ssim(original_NCHW: np.ndarray, other_NCHW: np.ndarray) -> float:
    """Return the structural similarity of uint8 images (1: identical), averaged over images.

    Wang et al. 2004 as in scikit-image: a uniform window of 7 px, or of the largest odd side
    that fits.
    """
    side = min(original_NCHW.shape[2:])
    window = min(WIDEST_WINDOW, side - 1 + side % 2)
    values = [
        structural_similarity(a_CHW, b_CHW, win_size=window, data_range=255, channel_axis=0)
        for a_CHW, b_CHW in zip(original_NCHW, other_NCHW, strict=True)
    ]
    return float(np.mean(values))


def sharpness(original_NCHW: np.ndarray, other_NCHW: np.ndarray) -> float:
    """Return the sharpness of uint8 images as a share of the originals': below 1 they are blurred.

    1 where the originals have no edge.
    """
    own = of_all.sharpness(original_NCHW)
    return of_all.sharpness(other_NCHW) / own if own else 1.0


def moved(original_NCHW: np.ndarray, other_NCHW: np.ndarray) -> np.ndarray:
    """Return how far each image moved, as a share of the way to its nearest other original, [N].

    Both distances are Euclidean in pixels. Where it nears 1/2 an image may no longer be told from
    its neighbour.
    """
    pixels_ND = original_NCHW.reshape(len(original_NCHW), -1)
    _, spacing_N1 = nearest(pixels_ND, pixels_ND, 1, "euclidean", exclude_self=True)
    return np.sqrt(_squared_errors(original_NCHW, other_NCHW)) / spacing_N1[:, 0]


def pca_round_trip(
    train_NCHW: np.ndarray, images_NCHW: np.ndarray, coefficients: int
) -> np.ndarray:
    """Return uint8 `images` rebuilt from their first principal components of `train`.

    The linear control for an autoencoder with as many latent numbers. N training images span
    N - 1 components at most. Memory holds the training images and BLOCK_BYTES of the others.
    """
    train_ND = train_NCHW.reshape(len(train_NCHW), -1).astype(np.float64)
    centre_D = train_ND.mean(axis=0)
    rank = min(coefficients, len(train_ND) - 1, train_ND.shape[1])
    _, _, components_RD = np.linalg.svd(train_ND - centre_D, full_matrices=False)
    components_RD = components_RD[:rank]
    rebuilt_NCHW = np.empty_like(images_NCHW)
    size = max(1, BLOCK_BYTES // (8 * centre_D.size))
    for start in range(0, len(images_NCHW), size):
        block_BCHW = images_NCHW[start : start + size]
        images_BD = block_BCHW.reshape(len(block_BCHW), -1) - centre_D
        rebuilt_BD = images_BD @ components_RD.T @ components_RD + centre_D
        pixels_BD = np.rint(np.clip(rebuilt_BD, 0, 255)).astype(np.uint8)
        rebuilt_NCHW[start : start + size] = pixels_BD.reshape(block_BCHW.shape)
    return rebuilt_NCHW


def _squared_errors(original_NCHW: np.ndarray, other_NCHW: np.ndarray) -> np.ndarray:
    """Return the sum of squared differences of each image, [N]; one image in float64 at a time."""
    pairs = zip(original_NCHW, other_NCHW, strict=True)
    return np.array([np.square(a_CHW.astype(np.float64) - b_CHW).sum() for a_CHW, b_CHW in pairs])
