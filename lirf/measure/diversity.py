"""The Vendi score: how many different samples there are in effect."""

from __future__ import annotations

import numpy as np

from lirf.measure.rows import checked


def vendi(features_NF: np.ndarray) -> float:
    """Return the effective number of different rows: 1 if all are equal, N for orthogonal ones.

    The exponential of the entropy of the eigenvalues of K / N, K the cosine similarities of the
    rows (Friedman and Dieng 2023, definition 3.1). Rows of zeros are equal to one another and
    orthogonal to all else.
    """
    features_NF = checked(features_NF, "samples", 1)
    norm_N = np.linalg.norm(features_NF, axis=1)
    zero_N = norm_N == 0
    unit_NF = features_NF / np.where(zero_N, 1.0, norm_N)[:, None]
    if zero_N.any():
        unit_NF = np.concatenate([unit_NF, zero_N[:, None]], axis=1)
    # X X^T and X^T X have the same eigenvalues but for zeros: take the smaller.
    n, f = unit_NF.shape
    gram = unit_NF @ unit_NF.T if n <= f else unit_NF.T @ unit_NF
    eigenvalues = np.linalg.eigvalsh(gram / n)
    positive = eigenvalues[eigenvalues > 0]
    positive /= positive.sum()
    return float(np.exp(-(positive * np.log(positive)).sum()))
