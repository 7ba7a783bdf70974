"""Features as metrics take them: float64 rows, finite, and enough of them."""

from __future__ import annotations

import numpy as np


def checked(features: np.ndarray, what: str, least: int) -> np.ndarray:
    """Return features as float64 after checking shape, number and finiteness."""
    if features.ndim != 2:
        raise ValueError(f"features of the {what} must be [rows, F], got shape {features.shape}")
    if len(features) < least:
        raise ValueError(f"{len(features)} {what}: at least {least} are needed")
    features = np.asarray(features, np.float64)
    if not np.isfinite(features).all():
        raise ValueError(f"features of the {what} contain NaN or infinity; look at the pictures")
    return features
