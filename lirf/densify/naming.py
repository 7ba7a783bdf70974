"""What a round's candidates are called before they are drawn: how many, which ids and seeds."""

from __future__ import annotations

import math

from lirf.params import Sample
from lirf.sampling import seeds
from lirf.store import banks
from lirf.store.banks import Register
from lirf.store.tables import Table


def candidates(config: Sample, run: str, bank: Register) -> Table:
    """Return `id` and `seed` of the candidates of round `run`: ratio x (real rows of `bank`)."""
    count = math.ceil(config.ratio * int(bank.real.sum()))
    ids = [f"{run}-{place:05d}" for place in range(count)]
    return banks.typed({"id": ids, "seed": seeds.seeds(config.seed, run, count)})
