"""A trained network, ready for samples to be drawn from it in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lirf.objectives.base import Field
from lirf.params import Sample
from lirf.sampling import sampler
from lirf.store.space import Space
from lirf.training import checkpoint


@dataclass(frozen=True)
class Drawing:
    """What samples are drawn from, and how."""

    field: Field
    space: Space
    config: Sample  # with its batch chosen
    device: torch.device

    @property
    def batch(self) -> int:
        """Return how many samples are drawn at a time."""
        assert self.config.batch is not None, "it is chosen"
        return self.config.batch

    def sample(self, seeds_M: list[int], first: int = 0) -> Iterator[Tensor]:
        """Yield the samples of seeds, from `first` on, as `sampler.sample` does."""
        return sampler.sample(
            self.field, seeds_M, self.space.shape, self.config, self.device, first
        )

    def batches(self, count: int) -> int:
        """Return how many batches `count` samples are."""
        return -(-count // self.batch)


def load(weights: Path, config: Sample, device: torch.device, batch: int | None = None) -> Drawing:
    """Read the field of the averaged weights, compiled where `config` says so.

    `batch` is what an earlier run chose, where `config` leaves it open.

    Raises:
        ValueError: the checkpoint is missing or damaged, or there is no compiler.
    """
    field, space = checkpoint.load_field(weights, device)
    batch = batch or sampler.batch(field, space.shape, config, device)
    if config.compile:
        rows = 1 if config.solver == "dopri5" else batch
        field = checkpoint.load_compiled(weights, device, rows, "sample.compile")
    return Drawing(field, space, config.model_copy(update={"batch": batch}), device)
