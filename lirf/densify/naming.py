"""What a round's candidates are called before they are drawn: how many, which ids and seeds."""

from __future__ import annotations

import math

import pyarrow as pa

from lirf.params import Sample
from lirf.sampling import seeds
from lirf.store.banks import Register


def candidates(config: Sample, run: str, bank: Register) -> pa.Table:
    """Return `id` and `seed` of the candidates of round `run`: ratio x (real rows of `bank`)."""
    count = math.ceil(config.ratio * int(bank.real.sum()))
    ids = [f"{run}-{place:05d}" for place in range(count)]
    return pa.table({"id": ids, "seed": pa.array(seeds.seeds(config.seed, run, count), pa.int64())})
