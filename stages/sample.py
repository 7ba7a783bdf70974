"""Draw a round's candidates from the velocity field; resumable."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from lirf import params as settings
from lirf.densify import naming
from lirf.params import Params
from lirf.store import banks
from lirf.store.rows import Room, half
from lirf.training import checkpoint, devices
from stages.support import command, drawing, scratch
from stages.support.command import Out
from stages.support.drawing import Drawing
from stages.telling.progress import track

KEPT = 2048  # samples, at least, that are kept at a time


def sample(params: Params, run: str, weights: Path, bank: Path, candidates: Out) -> None:
    """Write ratio x (real rows of `bank`) samples of the network in `weights`.

    What is drawn is kept in `.scratch/sample-<run>/<fingerprint>`, in files of whole batches: an
    interrupted run goes on where it was, to the same bytes. A batch that is chosen by free memory
    is chosen once, and lies there too.
    """
    where = devices.of(params)
    space = checkpoint.read_document(weights)["space"]
    rows = naming.candidates(params.sample, run, banks.read_register(bank, space))
    seeds_M = rows["seed"].to_pylist()
    if not seeds_M:
        raise ValueError(f"{bank}: no real latents; rerun `dvc repro encode`")
    room = Room(half(params.memory), candidates.parent)
    latents_MCHW = room.empty((len(seeds_M), *space.shape))
    fingerprint = _fingerprint(params.sample, run, weights)
    with scratch.claim(scratch.SCRATCH / f"sample-{run}", fingerprint) as folder:
        made = _load(folder, params.sample, weights, where)
        blocks = _draw(folder, made, seeds_M)
        first = 0
        try:
            for x_BCHW in track(blocks, made.batches(len(seeds_M)), f"sample {run}"):
                latents_MCHW[first : first + len(x_BCHW)] = x_BCHW
                first += len(x_BCHW)
        except ValueError as error:
            raise ValueError(f"{run}: {error}") from None
        banks.write_latents(candidates, latents_MCHW, rows, space)


def _load(folder: Path, config: settings.Sample, weights: Path, where: torch.device) -> Drawing:
    """Read the network, for batches as an earlier run in `folder` chose them, if any."""
    path = folder / "batch.npy"
    kept = scratch.read_array(path)
    made = drawing.load(weights, config, where, None if kept is None else int(kept))
    if config.batch is None and kept is None:
        scratch.keep_array(path, np.array(made.batch))
    return made


def _draw(folder: Path, made: Drawing, seeds_M: list[int]) -> Iterator[np.ndarray]:
    """Yield the samples in batches: of a file in `folder`, or drawn, and then kept in one."""
    batch = made.batch
    batches = max(1, KEPT // batch)
    for start in range(0, len(seeds_M), batches * batch):
        count = min(batches * batch, len(seeds_M) - start)
        kept = folder / f"{start:09d}.npy"
        done_BCHW = scratch.read_array(kept)
        if done_BCHW is not None and done_BCHW.shape == (count, *made.space.shape):
            yield from np.split(done_BCHW, range(batch, count, batch))
            continue
        drawn = []
        for x_BCHW in islice(made.sample(seeds_M, first=start), batches):
            drawn.append(x_BCHW.numpy())
            yield drawn[-1]
        scratch.keep_array(kept, np.concatenate(drawn))


def _fingerprint(config: settings.Sample, run: str, weights: Path) -> str:
    """Return a hash of all that samples depend on."""
    numbers = (config.model_dump_json(exclude={"ratio"}), run)
    return scratch.fingerprint("sample", numbers, [weights / checkpoint.STATE])


if __name__ == "__main__":
    command.run(sample)
