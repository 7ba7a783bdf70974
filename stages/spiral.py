"""Compare methods against collapse on 2-d toy points, a spiral, where the truth is known."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial

import torch

from lirf.objectives import rectified
from lirf.objectives.base import Field
from lirf.params import SpiralParams
from lirf.report import tables
from lirf.studies import study, toy
from lirf.studies.study import Outcome
from stages.support import command
from stages.support.command import Out
from stages.telling.progress import track

Key = tuple[int, int, str]
"""Number of points, seed, method."""


def spiral(params: SpiralParams, runs: Out, table: Out, samples: Out, fields: Out) -> None:
    """Run every method at every number of points and seed.

    `runs` has a row a run, `table` mean and standard deviation over the seeds, `samples` shows
    the points of the first seed, `fields` the learned velocities, beside the exact field that
    knows the training points by heart.

    Raises:
        ValueError: a run diverges; names it.
    """
    found = _run_all(params)
    config = params.spiral
    rows = [
        found[count, seed, method].row
        for count in config.counts
        for method in study.METHODS
        for seed in config.seeds
    ]
    runs.write_text(tables.tsv(rows))
    table.write_text(toy.table(rows, params))
    seed = config.seeds[0]
    grounds = {count: study.ground(params, count, seed) for count in config.counts}
    shown = {
        (count, name): found[count, seed, name]
        for count in config.counts
        for name in (study.PLAIN, study.AUGMENTED, study.LOOP)
    }
    toy.samples(grounds, shown, samples)
    velocities: dict[tuple[int, str], Field] = {
        (count, "learned by heart"): partial(_memory, torch.from_numpy(at.latents))
        for count, at in grounds.items()
    }
    velocities |= {
        (count, name): study.field(params, grounds[count], one)
        for (count, name), one in shown.items()
    }
    toy.fields(grounds, velocities, fields)


def _memory(anchors_NCHW: torch.Tensor, x_BCHW: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
    """Return the field that remembers the training points and knows nothing else."""
    return rectified.closed_form(x_BCHW, t_B, anchors_NCHW)


def _run_all(params: SpiralParams) -> dict[Key, Outcome]:
    """Return the outcome of every method, run in as many processes as there are cores.

    A process has one thread: the results do not depend on the number of cores.
    """
    config = params.spiral
    found = {
        (count, seed, study.TRUTH): study.yardstick(params, count, seed)
        for count in config.counts
        for seed in config.seeds
    }
    tasks = [
        (task, count, seed)
        for task in study.TASKS
        for count in config.counts
        for seed in config.seeds
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(study.run, params, *key): key for key in tasks}
        try:
            for future in track(as_completed(futures), len(tasks), "spiral"):
                _, count, seed = futures[future]
                found |= {(count, seed, one.method): one for one in future.result()}
        except ValueError:
            pool.shutdown(cancel_futures=True)
            raise
    return found


if __name__ == "__main__":
    command.run(spiral)
