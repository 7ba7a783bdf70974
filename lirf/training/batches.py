"""The batch sampler of training: rows, noise and times, drawn on the CPU, sent to the device.

Drawn on the CPU they are the same whatever the device, and whatever the number of processes that
share a batch: each draws all of it and keeps its part. A batch is small beside its step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lirf import params
from lirf.networks.condition import NULL, Condition
from lirf.objectives import rectified


@dataclass(frozen=True)
class Batch:
    """Noise x_0, latents x_1 [B, C, H, W], times [B] and condition of a step, on the device."""

    x0: Tensor
    x1: Tensor
    t: Tensor
    condition: Condition

    def split(self, parts: int) -> Iterator[Batch]:
        """Yield at most so many parts of the batch, of about one size."""
        size = -(-len(self.x0) // parts)
        for start in range(0, len(self.x0), size):
            rows = slice(start, start + size)
            yield Batch(self.x0[rows], self.x1[rows], self.t[rows], self.condition.rows(rows))


@dataclass(frozen=True)
class Augmented:
    """Latents of augmented images [A, C, H, W] and their labels [A, L], on the network's device."""

    latents: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Share:
    """The part of every batch that is one process's, where `count` of them train one network.

    Attributes:
        place: of the process, from 0.
        count: of the processes; divides the batch.
        add: replaces a tensor on the device by its sum over all processes.
    """

    place: int
    count: int
    add: Callable[[Tensor], None]

    def of(self, batch: int) -> slice:
        """Return the rows of a batch that are this process's."""
        size = batch // self.count
        return slice(self.place * size, (self.place + 1) * size)


def batch_sampler(
    latents_NCHW: Tensor,
    config: params.Train,
    labels: int,
    generator: torch.Generator,
    augmented: Augmented | None,
    real_N: Tensor | None,
    share: Share | None = None,
) -> Callable[[], Batch]:
    """Return what draws a batch, or the share of one, for a network with labels of that length.

    All rows are equally likely, unless `config.real_share` says how many of a batch are rows where
    `real_N` (bool, on the CPU; None: everywhere) is true: exactly that share where it is a whole
    number of rows, else on average. Without other rows it says nothing. Then each row is replaced,
    with the probability `config.augment_share`, by one of `augmented`, if there are any, which
    comes with its label; all others have a label of zeros. Times of refined bank rows are at most
    `config.refined_t_max`, of all others in [0, 1]. `config.jitter` is the standard
    deviation of fresh Gaussian noise on every row.

    What an option draws comes after what is always drawn, so that options that are off leave the
    draws as they are.
    """
    shape_BCHW = (config.batch, *latents_NCHW.shape[1:])
    rows = _row_drawer(len(latents_NCHW), config, real_N, generator)
    send = _sender(latents_NCHW.device, None if share is None else share.of(config.batch))
    refined_N = torch.zeros(len(latents_NCHW), dtype=torch.bool) if real_N is None else ~real_N

    def draw() -> Batch:
        bank_B = rows()
        rows_B, refined_B = send(bank_B), refined_N[bank_B]
        noise_BCHW = send(torch.randn(shape_BCHW, generator=generator))
        t_B = rectified.draw_times(config.batch, config.times, generator)
        x1_BCHW, condition = latents_NCHW[rows_B], NULL
        if labels:
            condition = Condition(torch.zeros(len(rows_B), labels, device=rows_B.device))
        if augmented is not None and config.augment_share:
            views_B = torch.rand(config.batch, generator=generator) < config.augment_share
            chosen_B, refined_B = send(views_B), refined_B & ~views_B
            rows_B = send(
                torch.randint(len(augmented.latents), (config.batch,), generator=generator)
            )
            x1_BCHW = torch.where(chosen_B[:, None, None, None], augmented.latents[rows_B], x1_BCHW)
            condition = Condition(augmented.labels[rows_B] * chosen_B[:, None])
        t_B = send(rectified.confine(t_B, config.refined_t_max, refined_B))
        if config.jitter:
            x1_BCHW = x1_BCHW + config.jitter * send(torch.randn(shape_BCHW, generator=generator))
        return Batch(noise_BCHW, x1_BCHW, t_B, condition)

    return draw


def _sender(device: torch.device, part: slice | None) -> Callable[[Tensor], Tensor]:
    """Return what cuts the share out of a tensor on the CPU and sends it to the device.

    To a GPU from pinned memory, which the copy reads while the CPU goes on; from other memory
    every copy would wait for all that the GPU still has to do.
    """

    def send(whole_B: Tensor) -> Tensor:
        own_B = whole_B if part is None else whole_B[part]
        if device.type == "cuda":
            return own_B.pin_memory().to(device, non_blocking=True)
        return own_B

    return send


def _row_drawer(
    count: int, config: params.Train, real_N: Tensor | None, generator: torch.Generator
) -> Callable[[], Tensor]:
    """Return what draws the bank rows of a batch, [B]."""
    if config.real_share is None or real_N is None or bool(real_N.all()):
        return lambda: torch.randint(count, (config.batch,), generator=generator)
    real_R, refined_R = real_N.nonzero()[:, 0], (~real_N).nonzero()[:, 0]
    wanted = config.real_share * config.batch

    def rows() -> Tensor:
        reals = int(wanted + torch.rand((), generator=generator).item())
        picks = (
            rows_R[torch.randint(len(rows_R), (size,), generator=generator)]
            for rows_R, size in ((real_R, reals), (refined_R, config.batch - reals))
        )
        return torch.cat(list(picks))

    return rows
