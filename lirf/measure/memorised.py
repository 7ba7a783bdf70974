"""Memorised samples: those that are far nearer to one training image than to any other.

`fake_MF` are M samples with F features, `train_VNF` the N training images in V versions each (as
they are, mirrored, after the autoencoder).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lirf.measure.rows import checked
from lirf.neighbours import search
from lirf.store.rows import blocks

MEMORISED_RATIO = 1 / 3
"""A sample is memorised when its nearest training image is this much closer than the second."""

CALIBRATED_SHARE = 0.05
"""Of training images that would be called memorised, each left out of its own, by `calibrate`."""

BLOCK_BYTES = 2**24
"""Of differences that are in memory at a time."""


@dataclass(frozen=True)
class Memorised:
    """The K nearest training images of each of M samples, and which samples are memorised."""

    nearest: np.ndarray  # int64 [M, K], index of the training image, nearest first
    version: np.ndarray  # int64 [M, K], which version of that image is nearest
    distance: np.ndarray  # float64 [M, K], Euclidean
    ratio: np.ndarray  # float64 [M], distance to the nearest over distance to the second
    memorised: np.ndarray  # bool [M], whether the ratio is below the limit
    limit: float

    @property
    def share(self) -> float:
        """Return the share of samples that are memorised."""
        return float(self.memorised.mean())


def calibrate(train_VNF: np.ndarray) -> float:
    """Return the ratio below which a twentieth of the training images fall, each left out.

    For features of networks: there all distances are much alike (Beyer et al. 1999), so that an
    image with a little noise on it is nearer than a third to none. Held-out images fall below it as
    often as training images do, and samples that are new, too. MEMORISED_RATIO where there are
    fewer than 3 different images.
    """
    found = find_memorised(train_VNF[0], train_VNF, nearest=3)
    if found.distance.shape[1] < 3:
        return MEMORISED_RATIO
    ratio_N = found.distance[:, 1] / found.distance[:, 2]  # the first is the image itself
    return float(np.quantile(ratio_N, CALIBRATED_SHARE))


def find_memorised(
    fake_MF: np.ndarray, train_VNF: np.ndarray, limit: float = MEMORISED_RATIO, nearest: int = 4
) -> Memorised:
    """Find the samples whose nearest training image is much closer than the second nearest.

    Memorised are those whose ratio of the two distances is below `limit`.

    The distance to an image is the least over its V versions. Training images that are equal count
    as one, under the lowest of their indices: a second file with the same picture must not hide
    that it is memorised.

    `nearest` images (or all of them, when they are fewer) are listed for each sample.
    """
    fake_MF = checked(fake_MF, "samples", 1)
    if train_VNF.ndim != 3:
        raise ValueError(f"training features must be [V, N, F], got shape {train_VNF.shape}")
    versions, count, _ = train_VNF.shape
    stacked_NX = train_VNF.swapaxes(0, 1).reshape(count, -1)
    distinct = np.sort(np.unique(stacked_NX, axis=0, return_index=True)[1])
    known_XF = np.concatenate(
        [checked(v_NF[distinct], "different training images", 2) for v_NF in train_VNF]
    )
    k = min(max(nearest, 2), len(distinct))
    # An image has at most V places among the nearest rows: these hold k images.
    place_MX, _ = search.nearest(fake_MF, known_XF, k * versions, "euclidean")
    version_MX, image_MX = np.divmod(place_MX, len(distinct))
    distance_MX = _distances(fake_MF, known_XF, place_MX)
    # Of each image the nearest version comes first; of two images equally far, the earlier.
    by_image_MX = np.lexsort((version_MX, distance_MX, image_MX))
    version_MX, image_MX, distance_MX = (
        np.take_along_axis(each_MX, by_image_MX, axis=1)
        for each_MX in (version_MX, image_MX, distance_MX)
    )
    distance_MX[:, 1:][image_MX[:, 1:] == image_MX[:, :-1]] = np.inf
    order_MK = np.argsort(distance_MX, axis=1, kind="stable")[:, :k]
    version_MK, image_MK, distance_MK = (
        np.take_along_axis(each_MX, order_MK, axis=1)
        for each_MX in (version_MX, image_MX, distance_MX)
    )
    first_M, second_M = distance_MK[:, 0], distance_MK[:, 1]
    ratio_M = np.divide(first_M, second_M, out=np.ones_like(first_M), where=second_M > 0)
    return Memorised(distinct[image_MK], version_MK, distance_MK, ratio_M, ratio_M < limit, limit)


def _distances(fake_MF: np.ndarray, known_XF: np.ndarray, place_MX: np.ndarray) -> np.ndarray:
    """Return the distances of samples to rows, in float64: the search gives those of float32."""
    found_MX = np.empty(place_MX.shape)
    width = place_MX.shape[1]
    for some in blocks(len(fake_MF), 8 * width * fake_MF.shape[1], BLOCK_BYTES):
        offset_BXF = known_XF[place_MX[some]] - fake_MF[some, None]
        found_MX[some] = np.sqrt(np.einsum("bxf,bxf->bx", offset_BXF, offset_BXF))
    return found_MX
