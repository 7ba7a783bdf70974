"""Every metric of samples at once, from features of samples, of real and of training images."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from lirf.measure.distances import frechet
from lirf.measure.diversity import vendi
from lirf.measure.fidelity import fidelity
from lirf.measure.memorised import Memorised, find_memorised


def compare(
    fake_MF: np.ndarray, real_NF: np.ndarray, train_VNF: np.ndarray, neighbours: int
) -> tuple[dict[str, float | str | None], Memorised]:
    """Return every metric of `fake_MF` by its key, and which samples are memorised.

    Those are sought in `train_VNF`, V versions of the N training images, the originals first; the
    rest is measured against `real_NF`. The Vendi score is that of the samples about the mean
    training image: cosines of raw pixels are all near 1.
    """
    memorised = find_memorised(fake_MF, train_VNF)
    distance = frechet(fake_MF, real_NF)
    return {
        "memorised": memorised.share,
        **asdict(fidelity(fake_MF, real_NF, neighbours)),
        "frechet": distance.value,
        "frechet_reason": distance.reason,
        "vendi": vendi(fake_MF - train_VNF[0].mean(axis=0)),
    }, memorised
