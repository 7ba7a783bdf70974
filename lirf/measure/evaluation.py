"""Every metric of samples at once, and what held-out images would score in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from lirf.features import features as spaces
from lirf.features.features import Features
from lirf.measure.distances import frechet
from lirf.measure.diversity import vendi
from lirf.measure.duplicates import near_duplicates
from lirf.measure.fidelity import fidelity
from lirf.measure.memorised import MEMORISED_RATIO, Memorised, calibrate, find_memorised
from lirf.measure.sharpness import sharpness

Values = dict[str, float | str | None]


def measure(
    fake_NCHW: np.ndarray,
    real_NCHW: np.ndarray,
    known_VNCHW: Sequence[np.ndarray],
    features: Features,
    neighbours: int,
    *,
    heldout: bool,
) -> tuple[Values, Memorised]:
    """Return every metric of samples by its key, and which of them are memorised.

    Images are uint8. `known_VNCHW` are V versions of the training images, the originals first;
    all is compared in `features`, and in those of a network `calibrate` says what is memorised.
    Near-duplicates among them are looked for in `features` and in pixels: networks see a picture
    that was saved or resized as a rather different one.
    Beside what `compare` finds: `memorised_ratio`, the limit; `memorised_pixels`, the share in
    pixels, None where the features are those; the sharpness; and where the reference is `heldout`,
    the same numbers of it in the samples' place.
    """
    extract, pixels = features.extract, spaces.of("pixels")
    train_VNF = pixels_VNF = np.stack([extract(images_NCHW) for images_NCHW in known_VNCHW])
    alike_NL = alike_pixels_NL = near_duplicates(train_VNF)
    if extract is not pixels.extract:
        pixels_VNF = np.stack([pixels.extract(images_NCHW) for images_NCHW in known_VNCHW])
        alike_pixels_NL = near_duplicates(pixels_VNF)
        alike_NL = np.concatenate([alike_NL, alike_pixels_NL], axis=1)
    limit = calibrate(train_VNF, alike_NL) if features.network else MEMORISED_RATIO
    real_NF = extract(real_NCHW)
    values, memorised = compare(extract(fake_NCHW), real_NF, train_VNF, neighbours, limit, alike_NL)
    of_heldout = find_memorised(real_NF, train_VNF, limit, alike=alike_NL) if heldout else None
    values |= {
        "memorised_ratio": limit,
        "memorised_heldout": of_heldout.share if of_heldout else None,
        "memorised_pixels": None,
        "memorised_pixels_heldout": None,
        "sharpness": sharpness(fake_NCHW),
        "sharpness_heldout": sharpness(real_NCHW) if heldout else None,
    }
    if extract is not pixels.extract:
        for key, images_NCHW in (("", fake_NCHW), *((("_heldout", real_NCHW),) if heldout else ())):
            pixels_MF = pixels.extract(images_NCHW)
            found = find_memorised(pixels_MF, pixels_VNF, alike=alike_pixels_NL)
            values[f"memorised_pixels{key}"] = found.share
    return values, memorised


def compare(
    fake_MF: np.ndarray,
    real_NF: np.ndarray,
    train_VNF: np.ndarray,
    neighbours: int,
    limit: float = MEMORISED_RATIO,
    alike: np.ndarray | None = None,
) -> tuple[Values, Memorised]:
    """Return the metrics of features, `fake_MF`, by their keys, and which samples are memorised.

    Those are sought, by `limit` and `alike` as of `find_memorised`, in `train_VNF`, V versions of
    the N training images, the originals first; the rest is measured against `real_NF`. The Vendi
    score is that of the samples about the mean training image: cosines of raw pixels are all near
    1.
    """
    memorised = find_memorised(fake_MF, train_VNF, limit, alike=alike)
    distance = frechet(fake_MF, real_NF)
    return {
        "memorised": memorised.share,
        **asdict(fidelity(fake_MF, real_NF, neighbours)),
        "frechet": distance.value,
        "frechet_reason": distance.reason,
        "vendi": vendi(fake_MF - train_VNF[0].mean(axis=0)),
    }, memorised
