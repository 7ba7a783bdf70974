"""Training of the velocity field: its full state, and the loop.

The state carries all that the next step depends on (weights, their moving average, optimiser
moments, random generator, step count). Hence k steps, saved, loaded and k more, are 2k steps bit
for bit, and a loop whose rounds admit nothing ends with the weights of its baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lirf import flow, params
from lirf.network import build
from lirf.space import Space

MOMENTS = ("exp_avg", "exp_avg_sq")
CHECK_EVERY = 25  # steps between looks at the losses; a look waits for the device


@dataclass
class State:
    """All that the next step depends on but the bank and `params.Train`.

    Attributes:
        network: the network in training.
        ema: the moving average of its weights, which samples are drawn from.
        moments: AdamW's, `<weight>.exp_avg` and `<weight>.exp_avg_sq`, zero at the start.
        generator: on the CPU, of batches, noise and times.
        step: optimiser steps taken so far, since the weights were untrained.
        space: of the latents.
        config: of the network, plain JSON (`network.build`).
        prediction: what the network's output means.
    """

    network: nn.Module
    ema: nn.Module
    moments: dict[str, Tensor]
    generator: torch.Generator
    step: int
    space: Space
    config: dict[str, Any]
    prediction: flow.Prediction


Rate = Callable[[int], float]
"""By step, counted like `State.step` from 1: what the learning rate is multiplied with."""

Batch = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""Noise x_0, latents x_1, times and augmentation labels of one step, on the device."""


@dataclass(frozen=True)
class Augmented:
    """Latents of augmented images [A, C, H, W] and their labels [A, L], on the network's device."""

    latents: Tensor
    labels: Tensor


def initial(
    config: params.Initialize, space: Space, device: torch.device, labels: int = 0
) -> State:
    """Return the untrained state, the same on every device for the same seed.

    `labels` is the length of the augmentation labels that the network will be told, 0 for none.

    Raises:
        ValueError: the network does not fit the latents; names `initialize.network.<key>`.
    """
    network = config.network.model_dump() | ({"labels": labels} if labels else {})
    return _untrained(network, config.prediction, space, device, config.seed)


def afresh(state: State, seed: int) -> State:
    """Return a state at step 0 of the same network, untrained: other weights, other draws."""
    device = next(state.network.parameters()).device
    return _untrained(state.config, state.prediction, state.space, device, seed)


def _untrained(
    config: dict[str, Any],
    prediction: flow.Prediction,
    space: Space,
    device: torch.device,
    seed: int,
) -> State:
    """Return the state at step 0 whose weights and draws come from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = assemble(config, prediction, space, device)
    state.generator.manual_seed(seed)
    return state


def assemble(
    config: dict[str, Any], prediction: flow.Prediction, space: Space, device: torch.device
) -> State:
    """Return a state at step 0, with weights from torch's global generator."""
    network, ema = build(config, space.shape), build(config, space.shape)
    ema.load_state_dict(network.state_dict())
    network.to(device).train()
    ema.to(device).eval().requires_grad_(False)
    moments = {
        f"{name}.{moment}": torch.zeros_like(weight, requires_grad=False)
        for name, weight in network.named_parameters()
        for moment in MOMENTS
    }
    return State(network, ema, moments, torch.Generator(), 0, space, config, prediction)


def constant(step: int) -> float:  # noqa: ARG001 - a rate is a function of the step
    """Return the rate of a training without an end in sight: 1 at every step."""
    return 1.0


def cooldown(last: int, steps: int) -> Rate:
    """Return the rate that falls in a line over the `steps` up to step `last`, and is 1 before.

    The first of them has steps / (steps + 1), the last one 1 / (steps + 1): no step is without
    effect. A constant rate with such an end does as well as a schedule over the whole training, and
    the part before it is that of a longer one (arXiv 2405.18392), as a warm-started loop needs it.
    """
    return lambda step: min(1.0, (last - step + 1) / (steps + 1))


def train(
    state: State,
    latents_NCHW: Tensor,
    config: params.Train,
    steps: int,
    augmented: Augmented | None = None,
    real_N: Tensor | None = None,
    rate: Rate = constant,
    interrupted: Callable[[], object] = lambda: False,
) -> Iterator[tuple[int, float]]:
    """Take `steps` steps on the rows of `latents_NCHW`, and yield (step, loss) of each in turn.

    Fewer once `interrupted` is true, but not less than one.

    All rows are equally likely, unless `config.real_share` says how many of a batch are rows where
    `real_N` (bool, on the CPU; None: everywhere) is true: exactly that share where it is a whole
    number of rows, else on average. Without other rows it says nothing. Then, with
    `config.augment_share`, each row is replaced with that probability by one of `augmented`, which
    comes with its label; all others have a label of zeros. `config.jitter` is the standard
    deviation of fresh Gaussian noise on every row.

    `latents_NCHW` lie on the network's device. Losses come in groups of `CHECK_EVERY`: `state` and
    the yielded step agree when the iterator ends, not before. Rows, noise and times are drawn on
    the CPU, so that they are the same whatever the device: a batch is small beside its step.
    The moving average is ema <- decay ema + (1-decay) weights at every step, without a ramp,
    since it too is carried over from round to round.

    With `config.accumulate` a batch goes through the network in so many parts, and with
    `config.precision` "bfloat16" its products are taken in it. `rate` says what the learning rate
    is multiplied with at each step.

    Raises:
        ValueError: a loss is not finite; names the step. `state` is of no use then. Or the network
            knows no labels, or others than those of `augmented`.
    """
    assert tuple(latents_NCHW.shape[1:]) == state.space.shape, "latents have the space's shape"
    assert augmented is not None or not config.augment_share, "there are augmented rows to share"
    draw = _drawer(state, latents_NCHW, config, augmented, real_N)
    update = _updater(state, config, rate)
    network = _under(state.network, config.precision)
    end = state.step + steps
    while state.step < end:
        first, count = state.step + 1, min(CHECK_EVERY, end - state.step)
        losses_S = [_descend(state, network, draw, update, config.accumulate)]
        while len(losses_S) < count and not interrupted():
            losses_S.append(_descend(state, network, draw, update, config.accumulate))
        losses = torch.stack(losses_S).tolist()
        for step, loss in enumerate(losses, start=first):
            if not math.isfinite(loss):
                raise ValueError(
                    f"step {step}: the loss is {loss}; lower train.learning_rate or set"
                    " train.clip_norm"
                )
        yield from enumerate(losses, start=first)
        if interrupted():
            return


def ema_field(state: State) -> flow.Field:
    """Return the velocity field (x_BCHW, t_B) -> v_BCHW of the averaged weights."""
    return network_field(state.ema, state.prediction)


def network_field(network: nn.Module, prediction: flow.Prediction) -> flow.Field:
    """Return the velocity field (x_BCHW, t_B) -> v_BCHW of `network`, without gradients."""

    @torch.no_grad()
    def field(x_BCHW: Tensor, t_B: Tensor) -> Tensor:
        return flow.as_velocity(network(x_BCHW, t_B), x_BCHW, t_B, prediction)

    return field


def _descend(
    state: State,
    network: Callable[..., Tensor],
    draw: Callable[[], Batch],
    update: Callable[[], None],
    parts: int,
) -> Tensor:
    """Take one step and return its loss, still on the device.

    The gradient of a batch is the sum of those of its parts, one after the other in memory.
    """
    batch = draw()
    whole, total = len(batch[0]), torch.zeros((), device=batch[0].device)
    chunks = [None if one is None else one.chunk(parts) for one in batch]
    assert chunks[0] is not None, "there is noise"
    for place in range(len(chunks[0])):
        x0, x1, t, label = (None if one is None else one[place] for one in chunks)
        assert x0 is not None and x1 is not None and t is not None, "labels alone may be missing"  # noqa: PT018
        loss = flow.loss(network, x0, x1, t, state.prediction, label)
        share = loss if len(x0) == whole else loss * (len(x0) / whole)
        share.backward()
        total = total + share.detach()
    update()
    state.step += 1
    return total


def _under(network: nn.Module, precision: str) -> Callable[..., Tensor]:
    """Return `network` as training calls it: as it is, or its products in bfloat16.

    Its weights, their gradients, moments and averages stay float32, and so does the loss.
    """
    if precision == "float32":
        return network

    def cast(x_BCHW: Tensor, *conditions: Tensor) -> Tensor:
        with torch.autocast(x_BCHW.device.type, torch.bfloat16):
            output_BCHW = network(x_BCHW, *conditions)
        return output_BCHW.float()

    return cast


def _drawer(
    state: State,
    latents_NCHW: Tensor,
    config: params.Train,
    augmented: Augmented | None,
    real_N: Tensor | None,
) -> Callable[[], Batch]:
    """Return what draws a batch.

    What an option draws comes after what is always drawn, so that options that are off leave the
    draws as they are.
    """
    device, generator = latents_NCHW.device, state.generator
    shape_BCHW = (config.batch, *latents_NCHW.shape[1:])
    labels = state.config.get("labels", 0)
    rows = _row_drawer(len(latents_NCHW), config, real_N, generator)

    def draw() -> Batch:
        rows_B = rows()
        noise_BCHW = torch.randn(shape_BCHW, generator=generator)
        t_B = flow.draw_times(config.batch, config.times, generator)
        x1_BCHW = latents_NCHW[rows_B.to(device)]
        label_BL = torch.zeros(config.batch, labels, device=device) if labels else None
        if augmented is not None and config.augment_share:
            x1_BCHW, label_BL = _replace(x1_BCHW, augmented, config.augment_share, generator)
        if config.jitter:
            jitter_BCHW = torch.randn(shape_BCHW, generator=generator).to(device)
            x1_BCHW = x1_BCHW + config.jitter * jitter_BCHW
        return noise_BCHW.to(device), x1_BCHW, t_B.to(device), label_BL

    return draw


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


def _replace(
    x1_BCHW: Tensor, augmented: Augmented, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Replace each row with probability `share` by an augmented one; return rows and labels."""
    chosen_B = torch.rand(len(x1_BCHW), generator=generator) < share
    rows_B = torch.randint(len(augmented.latents), (len(x1_BCHW),), generator=generator)
    chosen_B, rows_B = chosen_B.to(x1_BCHW.device), rows_B.to(x1_BCHW.device)
    return (
        torch.where(chosen_B[:, None, None, None], augmented.latents[rows_B], x1_BCHW),
        augmented.labels[rows_B] * chosen_B[:, None],
    )


def _updater(state: State, config: params.Train, rate: Rate) -> Callable[[], None]:
    """Return what turns the gradients into new weights, moments and averages, and drops them.

    AdamW is called as a function: to construct a `torch.optim.Optimizer` imports torch's compiler,
    which takes longer than a short run's first hundred steps.
    """
    names = [name for name, _ in state.network.named_parameters()]
    weights: list[Tensor] = list(state.network.parameters())
    averages: list[Tensor] = list(state.ema.parameters())
    first, second = ([state.moments[f"{name}.{moment}"] for name in names] for moment in MOMENTS)
    counts = [torch.full((), float(state.step), device=weight.device) for weight in weights]
    average = get_ema_multi_avg_fn(config.ema_decay)

    @torch.no_grad()
    def update() -> None:
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(weights, config.clip_norm, foreach=True)
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        assert len(gradients) == len(weights), "the loss reaches every weight"
        adamw(
            weights,
            gradients,
            first,
            second,
            [],
            counts,
            fused=True,
            amsgrad=False,
            beta1=config.betas[0],
            beta2=config.betas[1],
            lr=config.learning_rate * rate(state.step + 1),
            weight_decay=config.weight_decay,
            eps=1e-8,
            maximize=False,
        )
        average(averages, weights, None)
        for weight in weights:
            weight.grad = None

    return update
