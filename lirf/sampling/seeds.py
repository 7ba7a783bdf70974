"""Seeds of their own for things that are drawn one by one, and the random numbers of a seed."""

from __future__ import annotations

import hashlib

import numpy as np


def seeds(base: int, name: str, count: int) -> list[int]:
    """Return `count` seeds of 63 bits that depend on `base`, `name` and their place alone.

    Rounds never share noise, since their names differ.
    """
    digests = (hashlib.sha256(f"{base}/{name}/{i}".encode()).digest() for i in range(count))
    return [int.from_bytes(digest[:8], "big") >> 1 for digest in digests]


def generator(seed: int) -> np.random.Generator:
    """Return a generator whose key holds the whole of `seed`.

    NumPy's: torch's CPU generator keeps the low 32 bits only, and among 100,000 samples two would
    be expected to start from the same noise.
    """
    return np.random.Generator(np.random.Philox(key=seed))
