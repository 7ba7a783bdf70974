"""Samples of the flow: seeds, noise, and integration of the velocity field from t = 0 to 1.

Every sample has a seed of its own: sample 17 is the same whatever the batch or the count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lirf.objectives.base import Field
from lirf.sampling.seeds import generator, seeds
from lirf.solvers import adaptive, fixed

__all__ = ["batch", "integrate", "noise", "sample", "seeds"]

# Of a batch that is chosen here.
MOST_ROWS, TRIED_ROWS = 4096, 16
ON_CPU = 2**16  # numbers of all latents together
FREE_SHARE = 0.5  # of a GPU's free memory


class Integration(Protocol):
    """How to integrate, and how many samples at a time: `lirf.params.Sample` says it, among others.

    Not imported from there: pydantic takes its time, and exported models say it without.
    """

    @property
    def solver(self) -> str: ...
    @property
    def steps(self) -> int: ...
    @property
    def atol(self) -> float: ...
    @property
    def rtol(self) -> float: ...
    @property
    def batch(self) -> int | None: ...


def noise(seeds_M: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Return standard normal noise [M, *shape] in float32 on the CPU, one generator per seed."""
    draws = [generator(seed).standard_normal(shape, dtype=np.float32) for seed in seeds_M]
    return torch.from_numpy(np.stack(draws))


@torch.no_grad()
def batch(field: Field, shape: tuple[int, ...], config: Integration, device: torch.device) -> int:
    """Return `config.batch`, or where that is None how many samples to draw at a time.

    On a GPU: what half of its free memory holds, by the memory that a few samples took, a power of
    two. On a CPU it follows from the shape of the latents alone, so that every run has the same:
    matrix products of another size may round otherwise.
    """
    if config.batch is not None:
        return config.batch
    if device.type != "cuda":
        return max(1, min(MOST_ROWS, ON_CPU // math.prod(shape)))
    x_BCHW = torch.zeros(TRIED_ROWS, *shape, device=device)
    before, free = torch.cuda.memory_allocated(device), torch.cuda.mem_get_info(device)[0]
    torch.cuda.reset_peak_memory_stats(device)
    field(x_BCHW, torch.zeros(TRIED_ROWS, device=device))
    each = max(1, (torch.cuda.max_memory_allocated(device) - before) // TRIED_ROWS)
    return _fitting(int(FREE_SHARE * free), each)


def _fitting(available: int, each: int) -> int:
    """Return the largest power of two, from 1 to `MOST_ROWS`, of samples that fit."""
    return 2 ** (max(1, min(MOST_ROWS, available // each)).bit_length() - 1)


def sample(
    field: Field,
    seeds_M: Sequence[int],
    shape: tuple[int, ...],
    config: Integration,
    device: torch.device,
    first: int = 0,
) -> Iterator[Tensor]:
    """Yield the samples of `seeds_M` from place `first` on, in batches [B, *shape] on the CPU.

    `first` is a multiple of the batch, so that batches are those of all samples.

    Raises:
        ValueError: a sample is not finite; names its place and its seed.
    """
    size = batch(field, shape, config, device)
    assert first % size == 0, "a batch begins there"
    for start in range(first, len(seeds_M), size):
        seeds_B = seeds_M[start : start + size]
        x_B = integrate(field, noise(seeds_B, shape).to(device), config).cpu()
        finite_B = x_B.flatten(1).isfinite().all(dim=1)
        if not bool(finite_B.all()):
            culprit = int(finite_B.int().argmin())
            raise ValueError(
                f"sample {start + culprit} (seed {seeds_B[culprit]}) is not finite: the network"
                " diverges there; more train steps, a lower train.learning_rate or more"
                " sample.steps"
            )
        yield x_B


@torch.no_grad()
def integrate(field: Field, x0_B: Tensor, config: Integration) -> Tensor:
    """Return x at t = 1 for dx/dt = field(x, t) from `x0_B` [B, ...] at t = 0.

    "euler", "heun" and "midpoint" take `steps` equal intervals. "dopri5" costs B integrations of a
    batch of one, since steps of its own keep a sample the same in every batch; on a GPU prefer a
    fixed grid. A sample on which it fails is NaN.
    """
    if config.solver == "dopri5":
        return adaptive.integrate(field, x0_B, config.atol, config.rtol)
    times_S = torch.linspace(0, 1, config.steps + 1, dtype=x0_B.dtype, device=x0_B.device)
    return fixed.integrate(config.solver, field, x0_B, times_S)
