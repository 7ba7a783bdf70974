"""How samples compare with real images, on plain float64 arrays of features.

Shapes: `fake_MF` are M samples with F features, `real_NF` the N reference images, `train_VNF` the
N training images in V versions each (as they are, mirrored). Distances are Euclidean, computed in
blocks: memory grows with N times K, never with M times N times F.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

MEMORISED_RATIO = 1 / 3
"""A sample is a copy when its nearest training image is this much closer than the second."""

FRECHET_MINIMUM = 100
"""Fewest rows on either side of a Frechet distance: below it, noise in the covariance decides."""

BLOCK_BYTES = 2**26


@dataclass(frozen=True)
class Memorised:
    """The K nearest training images of each of M samples, and which samples are copies."""

    nearest: np.ndarray  # int64 [M, K], index of the training image, nearest first
    version: np.ndarray  # int64 [M, K], which version of that image is nearest
    distance: np.ndarray  # float64 [M, K]
    ratio: np.ndarray  # float64 [M], distance to the nearest over distance to the second
    memorised: np.ndarray  # bool [M]

    @property
    def share(self) -> float:
        """Return the share of samples that are copies."""
        return float(self.memorised.mean())


@dataclass(frozen=True)
class Fidelity:
    """Precision, recall, density and coverage, in [0, 1] but for density, which may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class Frechet:
    """A squared Frechet distance, or None and the reason why there is none."""

    value: float | None
    reason: str | None = None


def find_memorised(fake_MF: np.ndarray, train_VNF: np.ndarray, nearest: int = 4) -> Memorised:
    """Find samples that are copies: far closer to one training image than to any other.

    A sample is a copy when its nearest training image is closer than a third of the second
    nearest; the distance to image i is the least over its V versions. Training
    images that are equal count as one, under the lowest of their indices: a second file with the
    same picture must not hide its copies.

    `nearest` images (or all of them, when they are fewer) are listed for each sample.
    """
    fake_MF = _checked(fake_MF, "samples", 1)
    if train_VNF.ndim != 3:
        raise ValueError(f"training features must be [V, N, F], got shape {train_VNF.shape}")
    stacked_NX = train_VNF.swapaxes(0, 1).reshape(train_VNF.shape[1], -1)
    distinct = np.sort(np.unique(stacked_NX, axis=0, return_index=True)[1])
    versions = [_checked(v_NF[distinct], "different training images", 2) for v_NF in train_VNF]
    k = min(max(nearest, 2), len(distinct))
    found = []
    for rows in _blocks(len(fake_MF), len(distinct) * len(versions)):
        distance_VBN = np.stack([_distances(fake_MF[rows], v_NF) for v_NF in versions])
        distance_BN, version_BN = distance_VBN.min(axis=0), distance_VBN.argmin(axis=0)
        # Stable: of two images equally far, the earlier is listed first.
        order_BK = np.argsort(distance_BN, axis=1, kind="stable")[:, :k]
        per_image = (distance_BN, version_BN, np.broadcast_to(distinct, distance_BN.shape))
        found.append([np.take_along_axis(values, order_BK, axis=1) for values in per_image])
    distance_MK, version_MK, nearest_MK = (
        np.concatenate(parts) for parts in zip(*found, strict=True)
    )
    first_M, second_M = distance_MK[:, 0], distance_MK[:, 1]
    ratio_M = np.divide(first_M, second_M, out=np.ones_like(first_M), where=second_M > 0)
    return Memorised(nearest_MK, version_MK, distance_MK, ratio_M, ratio_M < MEMORISED_RATIO)


def fidelity(fake_MF: np.ndarray, real_NF: np.ndarray, neighbours: int) -> Fidelity:
    """Return improved precision and recall, density and coverage from one pass over the distances.

    Every point's ball reaches to its `neighbours`-th nearest other point of its own set (closed).
    Precision: share of samples in a ball of a real image; recall: share of real images in a ball
    of a sample (Kynkaanniemi et al. 2019, equations 1 and 2). Density: number of real balls
    around a sample, over `neighbours`; coverage: share of real images with a sample in their
    ball (Naeem et al. 2020, equations 4 and 5).
    """
    if neighbours < 1:
        raise ValueError(f"neighbours = {neighbours}: must be at least 1")
    fake_MF = _checked(fake_MF, "samples", neighbours + 1)
    real_NF = _checked(real_NF, "reference images", neighbours + 1)
    radius_M, radius_N = _radii(fake_MF, neighbours), _radii(real_NF, neighbours)
    balls = precise = 0
    recalled_N = np.zeros(len(real_NF), bool)
    covered_N = np.zeros(len(real_NF), bool)
    for rows in _blocks(len(fake_MF), len(real_NF)):
        distance_BN = _distances(fake_MF[rows], real_NF)
        inside_BN = distance_BN <= radius_N
        balls += int(inside_BN.sum())
        precise += int(inside_BN.any(axis=1).sum())
        covered_N |= inside_BN.any(axis=0)
        recalled_N |= (distance_BN <= radius_M[rows, None]).any(axis=0)
    m = len(fake_MF)
    return Fidelity(
        precision=precise / m,
        recall=float(recalled_N.mean()),
        density=balls / (neighbours * m),
        coverage=float(covered_N.mean()),
    )


def frechet(fake_MF: np.ndarray, real_NF: np.ndarray) -> Frechet:
    """Return |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), the squared distance of Gaussians.

    (Dowson and Landau 1982; Heusel et al. 2017.) With S = R^T R, the eigenvalues of S1 S2 are the
    squared singular values of R1 R2^T: their sum needs no matrix square root, never turns complex
    and loses no digits when features outnumber images. Covariances divide by the rows less one.

    Fewer than FRECHET_MINIMUM rows on either side give no value: the estimate is biased upwards
    by noise in the covariances, and so much so there that it ranks noise.
    """
    fake_MF = _checked(fake_MF, "samples", 1)
    real_NF = _checked(real_NF, "reference images", 1)
    for rows, what in ((fake_MF, "samples"), (real_NF, "reference images")):
        if len(rows) < FRECHET_MINIMUM:
            return Frechet(None, f"{len(rows)} {what}: needs at least {FRECHET_MINIMUM}")
    mean_fake, mean_real = fake_MF.mean(axis=0), real_NF.mean(axis=0)
    factor_fake, factor_real = _factor(fake_MF - mean_fake), _factor(real_NF - mean_real)
    cross = np.linalg.svd(factor_fake @ factor_real.T, compute_uv=False).sum()
    spread = (factor_fake**2).sum() + (factor_real**2).sum() - 2 * cross
    # Both terms are squares; rounding alone can take the second below zero.
    return Frechet(float(((mean_fake - mean_real) ** 2).sum() + max(spread, 0.0)))


def vendi(features_NF: np.ndarray) -> float:
    """Return the effective number of different rows: 1 for copies of one, N for N orthogonal rows.

    The exponential of the entropy of the eigenvalues of K / N, K the cosine similarities of the
    rows (Friedman and Dieng 2023, definition 3.1). Rows of zeros are equal to one another and
    orthogonal to all else.
    """
    features_NF = _checked(features_NF, "samples", 1)
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


def compare(
    fake_MF: np.ndarray, real_NF: np.ndarray, train_VNF: np.ndarray, neighbours: int
) -> tuple[dict[str, float | str | None], Memorised]:
    """Return every measure of `fake_MF` by its name, and the copies among them.

    Copies are sought in `train_VNF`, V versions of the training images, the originals first; the
    rest is measured against `real_NF`. The Vendi score is that of the samples about the mean
    training image: cosines of raw pixels are all near 1.
    """
    memorised = find_memorised(fake_MF, train_VNF)
    found = fidelity(fake_MF, real_NF, neighbours)
    distance = frechet(fake_MF, real_NF)
    return {
        "memorised": memorised.share,
        **asdict(found),
        "frechet": distance.value,
        "frechet_reason": distance.reason,
        "vendi": vendi(fake_MF - train_VNF[0].mean(axis=0)),
    }, memorised


def _factor(centred_NF: np.ndarray) -> np.ndarray:
    """Return R with R^T R the covariance and no more rows than features."""
    scaled = centred_NF / np.sqrt(len(centred_NF) - 1)
    if len(scaled) <= scaled.shape[1]:
        return scaled
    return np.asarray(np.linalg.qr(scaled, mode="r"))


def _radii(points_NF: np.ndarray, neighbours: int) -> np.ndarray:
    """Return for every point the distance to its `neighbours`-th nearest other point."""
    radii = []
    for rows in _blocks(len(points_NF), len(points_NF)):
        distance_BN = _distances(points_NF[rows], points_NF)
        inside = np.arange(rows.start, rows.stop)
        distance_BN[np.arange(len(inside)), inside] = np.inf  # itself; its duplicates stay
        radii.append(np.partition(distance_BN, neighbours - 1, axis=1)[:, neighbours - 1])
    return np.concatenate(radii)


def _distances(a_BF: np.ndarray, b_NF: np.ndarray) -> np.ndarray:
    """Return Euclidean distances [B, N] by |a|^2 + |b|^2 - 2ab, about the mean of `b`.

    Shifting keeps the cancellation small. What rounding leaves of it is cut off: a square below
    1e-13 of those it is the difference of is zero.
    """
    centre_F = b_NF.mean(axis=0)
    a_BF, b_NF = a_BF - centre_F, b_NF - centre_F
    a_B, b_N = (a_BF**2).sum(axis=1), (b_NF**2).sum(axis=1)
    norms_BN = a_B[:, None] + b_N
    squared_BN = norms_BN - 2 * (a_BF @ b_NF.T)
    squared_BN[squared_BN < 1e-13 * norms_BN] = 0
    return np.sqrt(squared_BN)


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices of `rows` such that a float64 block of `columns` fits in BLOCK_BYTES."""
    size = max(1, BLOCK_BYTES // (8 * columns))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def _checked(features: np.ndarray, what: str, least: int) -> np.ndarray:
    """Return features as float64 after checking shape, number and finiteness."""
    if features.ndim != 2:
        raise ValueError(f"features of the {what} must be [rows, F], got shape {features.shape}")
    if len(features) < least:
        raise ValueError(f"{len(features)} {what}: at least {least} are needed")
    features = np.asarray(features, np.float64)
    if not np.isfinite(features).all():
        raise ValueError(f"features of the {what} contain NaN or infinity; look at the pictures")
    return features
