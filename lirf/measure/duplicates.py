"""Near-duplicates among training images: they must not hide that one of them is memorised.

A memorised sample is far nearer to one training image than to the second. Where the training set
holds that image a second time, saved as JPEG, say, the second is as near as the first. So the
second is the nearest image that is not a near-duplicate of the first:

    near-duplicates of an image are those, MOST of them at most, that lie less than NEAR times as
    far from it as every other image.

So a near-duplicate stands out from the others, whatever the unit and the density of the set. No
typical distance enters, which would be that of the duplicates where every image has one. No chain
is followed: of the frames of a film at most the next ones are near-duplicates, not all. And it can
hardly make a new sample memorised: that must still be far nearer to the first than to the second.

The thumbnails of `lirf.images.similar` find pairs to warn of; this rule has to see small images
and latents, too. `row`s are of all versions of all images, [X, F]; each belongs to an image.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from lirf.measure.rows import checked
from lirf.neighbours import search

NEAR = 0.6
"""Times as far as others. Of 100 different images none lies so near to another, in pixels (least
ratio: .62 for the digits, .77 and above for faces and pandas); their JPEG all do."""

MOST = 7
"""Near-duplicates of an image. More images that are near to one another are a kind of image."""


def near_duplicates(train_VNF: np.ndarray) -> np.ndarray:
    """Return the near-duplicates of each of N training images, int64 [N, L], filled up with -1.

    `train_VNF` holds their features in V versions, the images as they are first: from those
    distances are measured to the nearest version of the others. Equal images count as one, under
    the lowest of their indices. L is at most `MOST`.

    Raises:
        ValueError: a feature is not finite.
    """
    versions, _, width = train_VNF.shape
    distinct, same_N = np.unique(first_equal(train_VNF), return_inverse=True)
    rows_XF = checked(train_VNF[:, distinct].reshape(-1, width), "training images", 1)
    image_X = np.tile(np.arange(len(distinct)), versions)
    alike_XL = of_rows(rows_XF, image_X, queries=len(distinct))
    return np.where(alike_XL < 0, -1, distinct[alike_XL])[same_N]


def of_rows(rows_XF: np.ndarray, image_X: np.ndarray, queries: int | None = None) -> np.ndarray:
    """Return the near-duplicates of the images of the first `queries` rows (None: of all).

    They are numbers of `image_X`, of which none is negative: int64 [queries, L], filled with -1.

    Raises:
        ValueError: a row is not finite.
    """
    query_QF, own_Q = rows_XF[:queries], image_X[:queries]
    widest = int(np.unique(image_X, return_counts=True)[1].max())
    k = min((MOST + 1) * widest, len(rows_XF) - widest)
    if k < 1:
        return np.empty((len(query_QF), 0), np.int64)
    row_QX, distance_QX = search.nearest_of_others(
        query_QF, own_Q, rows_XF, image_X, k, "euclidean"
    )
    row_QK, distance_QK = by_image(row_QX, distance_QX.astype(np.float64), image_X, MOST + 1)
    return _standing_out(image_X[row_QK], distance_QK)


def first_equal(train_VNF: np.ndarray) -> np.ndarray:
    """Return for each image the lowest index of one that is equal to it in all versions, [N]."""
    seen: dict[bytes, int] = {}
    # Plus 0: -0 is equal to 0, but its bytes are not.
    digests = (
        blake2b((train_VNF[:, i] + 0.0).tobytes()).digest() for i in range(train_VNF.shape[1])
    )
    return np.array([seen.setdefault(digest, i) for i, digest in enumerate(digests)], np.int64)


def by_image(
    row_MX: np.ndarray, distance_MX: np.ndarray, image_X: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the k nearest images, each by its nearest row, and their distances.

    Of an image's rows at one distance the first counts, and of images the one with the lowest
    number. The distance is infinite where the rows that were found belong to fewer images.
    """
    image_MX = image_X[row_MX]
    order_MX = np.lexsort((row_MX, distance_MX, image_MX))
    row_MX, distance_MX, image_MX = (
        np.take_along_axis(each_MX, order_MX, axis=1) for each_MX in (row_MX, distance_MX, image_MX)
    )
    distance_MX[:, 1:][image_MX[:, 1:] == image_MX[:, :-1]] = np.inf
    order_MK = np.argsort(distance_MX, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(row_MX, order_MK, 1), np.take_along_axis(distance_MX, order_MK, 1)


def first_two(
    index_MK: np.ndarray,
    image_MK: np.ndarray,
    distance_MK: np.ndarray,
    alike_NL: np.ndarray,
    skipped_MS: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return where in lists of images, nearest first, the first and the second are, int64 [M] each.

    The second is the nearest image that is not a near-duplicate of the first; the farthest of the
    list where all are. `alike_NL` holds the near-duplicates of the image at each index,
    `skipped_MS` images that are neither: those that are left out.
    """
    every = np.arange(len(image_MK))
    open_MK = np.isfinite(distance_MK)
    last_M = open_MK.sum(axis=1) - 1
    if skipped_MS is not None:
        open_MK &= ~_among(image_MK, skipped_MS)
    first_M = open_MK.argmax(axis=1)
    alike_ML = alike_NL[index_MK[every, first_M]]
    open_MK &= ~_among(image_MK, alike_ML) & (image_MK != image_MK[every, first_M, None])
    return first_M, np.where(open_MK.any(axis=1), open_MK.argmax(axis=1), last_M)


def _standing_out(image_NK: np.ndarray, distance_NK: np.ndarray) -> np.ndarray:
    """Return the images before the last gap in distances that ascend, filled up with -1."""
    nearer_NL, next_NL = distance_NK[:, :-1], distance_NK[:, 1:]
    gap_NL = np.isfinite(next_NL) & (nearer_NL < NEAR * next_NL)
    place_L = np.arange(gap_NL.shape[1])
    last_N = np.where(gap_NL, place_L, -1).max(axis=1, initial=-1)
    return np.where(place_L <= last_N[:, None], image_NK[:, :-1], -1)


def _among(image_MK: np.ndarray, some_ML: np.ndarray) -> np.ndarray:
    """Return which images are among some, row by row."""
    return (image_MK[:, :, None] == some_ML[:, None, :]).any(axis=2)
