"""The training of one model on one bank, the same in memory as by the stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from lirf import params
from lirf.sampling import seeds
from lirf.training import loop, state, stopping
from lirf.training.batches import Augmented, Share
from lirf.training.loop import LRSchedule
from lirf.training.state import State


@dataclass(frozen=True)
class Rows:
    """What a model is trained on.

    Attributes:
        latents: of the bank, [N, C, H, W] float32, scaled.
        real: bool [N], which of them are real.
        group: int64 [N], the same for an image and its mirrored twin.
        augmented: views of the real ones, if any are to be drawn.
    """

    latents: np.ndarray
    real: np.ndarray
    group: np.ndarray
    augmented: Augmented | None = None


@dataclass(frozen=True)
class Hooks:
    """What a training asks and tells on its way.

    Attributes:
        interrupted: whether to end after the step that is under way.
        stopped: told of the collapse that ends a training.
        share: the part of every batch that is this process's, where there are several.
        agree: gives every process the largest of what each of them says.
    """

    interrupted: Callable[[], object] = lambda: False
    stopped: Callable[[float], object] = lambda _: None
    share: Share | None = None
    agree: Callable[[int], int] = int


def begin(found: State, numbers: params.Params, name: str) -> State:
    """Return the state that model `name` starts from, given that of the round before.

    With `train.start: fresh` a model of the loop takes no more than the network's kind and size.
    """
    if numbers.train.start == "warm" or numbers.models[name].role != "loop":
        return found
    return state.afresh(found, seeds.seeds(numbers.initialize.seed, f"train {name}", 1)[0])


def config(numbers: params.Params, name: str) -> params.Train:
    """Return the section `train` as model `name` is trained by it."""
    most = numbers.models[name].refined_t_max
    return (
        numbers.train if most is None else numbers.train.model_copy(update={"refined_t_max": most})
    )


def schedule(line: params.Model, before: int) -> LRSchedule:
    """Return the learning rates of a model that starts after step `before`."""
    return loop.cooldown(before + line.steps, line.cooldown)


def train(
    begin: State,
    rows: Rows,
    config: params.Train,
    steps: int,
    schedule: LRSchedule,
    hooks: Hooks | None = None,
) -> Iterator[float]:
    """Take `steps` steps of a model, which change `begin`, and yield the loss of each.

    It takes fewer, or none, where the state is collapsed onto the bank: `config.stop_on` says
    when. The score is a function of state and bank, looked at where the steps since the weights
    were untrained are a multiple of `every`: so a training in pieces stops where a whole one does.

    Raises:
        ValueError: as `loop.train`.
    """
    hooks, stop, end = hooks or Hooks(), config.stop_on, begin.step + steps
    latents_NCHW = torch.from_numpy(rows.latents).to(begin.device)
    real_N = torch.from_numpy(rows.real)
    look = stopping.looker(config, rows.latents, rows.group)
    while begin.step < end:
        collapse = look(begin)
        if hooks.agree(collapse > stop.threshold):
            hooks.stopped(collapse)
            return
        count = end - begin.step
        if stop.rule != "never":
            count = min(count, stop.every - begin.step % stop.every)
        for _, loss in loop.train(
            begin,
            latents_NCHW,
            config,
            count,
            rows.augmented,
            real_N,
            schedule,
            hooks.interrupted,
            hooks.share,
        ):
            yield loss
        if hooks.interrupted():
            return
