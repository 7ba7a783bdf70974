"""Images set aside from training: which ones, and when they are looked at."""

from __future__ import annotations

import numpy as np

LOOKS = 20
"""Looks at the images set aside in the course of a training, beside one before it."""


def split(group_N: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return which images are set aside, bool [N]: whole groups, `share` of them, at least one.

    An image and its mirrored twin are a group. None where `share` is 0.
    """
    names = np.unique(group_N)
    chosen = np.random.default_rng(seed).permutation(names)[: count(len(names), share)]
    return np.isin(group_N, chosen)


def count(groups: int, share: float) -> int:
    """Return how many of so many groups are set aside."""
    return max(1, round(share * groups)) if share else 0


def moments(steps: int) -> list[int]:
    """Return after which of so many steps there is a look, evenly spread; 0 is before them all."""
    return sorted({look * steps // LOOKS for look in range(LOOKS + 1)})
