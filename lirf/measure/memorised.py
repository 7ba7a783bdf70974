"""Memorised samples: those that are far nearer to one training image than to any other.

`fake_MF` are M samples with F features, `train_VNF` the N training images in V versions each (as
they are, mirrored, after the autoencoder). The other images are those that are no near-duplicates
of that one, see `lirf.measure.duplicates`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lirf.measure.duplicates import by_image, first_equal, first_two, near_duplicates
from lirf.measure.rows import checked
from lirf.neighbours import search
from lirf.store.rows import blocks

MEMORISED_RATIO = 1 / 3
"""A sample is memorised when its nearest training image is this much closer than the second,
which is no near-duplicate of it."""

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
    ratio: np.ndarray  # float64 [M], distance to the first over distance to the second
    memorised: np.ndarray  # bool [M], whether the ratio is below the limit
    limit: float

    @property
    def share(self) -> float:
        """Return the share of samples that are memorised."""
        return float(self.memorised.mean())


def calibrate(train_VNF: np.ndarray, alike_NL: np.ndarray | None = None) -> float:
    """Return the ratio below which a twentieth of the training images fall, each left out.

    For features of networks: there all distances are much alike (Beyer et al. 1999), so that an
    image with a little noise on it is nearer than a third to none. Held-out images fall below it as
    often as training images do, and samples that are new, too. An image is left out with its
    near-duplicates, `alike_NL` as of `find_memorised`. MEMORISED_RATIO where there are fewer than 3
    different images.
    """
    alike_NL = near_duplicates(train_VNF) if alike_NL is None else alike_NL
    # The image itself, two others, and the near-duplicates of it and of the first other one.
    found = find_memorised(
        train_VNF[0], train_VNF, nearest=3 + 2 * alike_NL.shape[1], alike=alike_NL
    )
    if found.distance.shape[1] < 3:
        return MEMORISED_RATIO
    own_N = first_equal(train_VNF)
    left_out_NL = np.concatenate([own_N[:, None], alike_NL[own_N]], axis=1)
    pair = first_two(found.nearest, found.nearest, found.distance, alike_NL, left_out_NL)
    return float(np.quantile(_ratio(found.distance, *pair), CALIBRATED_SHARE))


def find_memorised(
    fake_MF: np.ndarray,
    train_VNF: np.ndarray,
    limit: float = MEMORISED_RATIO,
    nearest: int = 4,
    alike: np.ndarray | None = None,
) -> Memorised:
    """Find the samples whose nearest training image is much closer than the second nearest.

    Memorised are those whose ratio of the two distances is below `limit`.

    The distance to an image is the least over its V versions. Training images that are equal count
    as one, under the lowest of their indices, and the second is the nearest image that is not a
    near-duplicate of the first: a second file with the same picture must not hide that it is
    memorised. `alike` holds the near-duplicates of each image, int64 [N, L], filled up with -1;
    None: those that `near_duplicates` finds in `train_VNF`.

    `nearest` images (or all of them, when they are fewer) are listed for each sample, whatever
    they are near-duplicates of.
    """
    fake_MF = checked(fake_MF, "samples", 1)
    if train_VNF.ndim != 3:
        raise ValueError(f"training features must be [V, N, F], got shape {train_VNF.shape}")
    versions = len(train_VNF)
    distinct = np.unique(first_equal(train_VNF))
    known_XF = np.concatenate(
        [checked(v_NF[distinct], "different training images", 2) for v_NF in train_VNF]
    )
    alike_NL = near_duplicates(train_VNF) if alike is None else alike
    k = min(max(nearest, 2 + alike_NL.shape[1]), len(distinct))
    # An image has at most V places among the nearest rows: these hold k images.
    row_MX, _ = search.nearest(fake_MF, known_XF, k * versions, "euclidean")
    row_MK, distance_MK = by_image(
        row_MX,
        _distances(fake_MF, known_XF, row_MX),
        np.tile(np.arange(len(distinct)), versions),
        k,
    )
    version_MK, place_MK = np.divmod(row_MK, len(distinct))
    image_MK = distinct[place_MK]
    ratio_M = _ratio(distance_MK, *first_two(image_MK, image_MK, distance_MK, alike_NL))
    listed = np.s_[:, : max(nearest, 2)]
    return Memorised(
        image_MK[listed], version_MK[listed], distance_MK[listed], ratio_M, ratio_M < limit, limit
    )


def _ratio(distance_MK: np.ndarray, first_M: np.ndarray, second_M: np.ndarray) -> np.ndarray:
    """Return the distance at one place of each list over that at another; 1 where both are 0."""
    every = np.arange(len(distance_MK))
    one_M, other_M = distance_MK[every, first_M], distance_MK[every, second_M]
    return np.divide(one_M, other_M, out=np.ones_like(one_M), where=other_M > 0)


def _distances(fake_MF: np.ndarray, known_XF: np.ndarray, place_MX: np.ndarray) -> np.ndarray:
    """Return the distances of samples to rows, in float64: the search gives those of float32."""
    found_MX = np.empty(place_MX.shape)
    width = place_MX.shape[1]
    for some in blocks(len(fake_MF), 8 * width * fake_MF.shape[1], BLOCK_BYTES):
        offset_BXF = known_XF[place_MX[some]] - fake_MF[some, None]
        found_MX[some] = np.sqrt(np.einsum("bxf,bxf->bx", offset_BXF, offset_BXF))
    return found_MX
