"""Draw a round's candidates from the velocity field."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa

from lirf import checkpoint, device, sampler, store
from lirf.params import Params
from stages import command
from stages.command import Out
from stages.progress import track


def sample(params: Params, run: str, weights: Path, bank: Path, candidates: Out) -> None:
    """Write ratio x (real rows of `bank`) samples of the network in `weights`."""
    where = device.choose(params.device, params.deterministic)
    field, space = checkpoint.load_field(weights, where)
    known = store.read_bank(bank)
    space.require(known.space, str(bank))
    real = int(known.real.sum())
    seeds = sampler.seeds(params.sample.seed, run, math.ceil(params.sample.ratio * real))
    if not seeds:
        raise ValueError(f"{bank}: no real latents; rerun `dvc repro encode`")
    batches = sampler.sample(field, seeds, space.shape, params.sample, where)
    total = -(-len(seeds) // params.sample.batch)
    try:
        latents_MCHW = np.concatenate([x.numpy() for x in track(batches, total, f"sample {run}")])
    except ValueError as error:
        raise ValueError(f"{run}: {error}") from None
    ids = [f"{run}-{index:05d}" for index in range(len(seeds))]
    rows = pa.table({"id": ids, "seed": pa.array(seeds, pa.int64())})
    store.write_latents(candidates, latents_MCHW, rows, space)


if __name__ == "__main__":
    command.run(sample)
