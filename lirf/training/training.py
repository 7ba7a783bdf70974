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

from lirf import params
from lirf.networks.network import build
from lirf.objectives import flow
from lirf.store.space import Space
from lirf.training import compiling
from lirf.training.batches import Augmented, Batch, Share, drawer

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
    share: Share | None = None,
) -> Iterator[tuple[int, float]]:
    """Take `steps` steps on the rows of `latents_NCHW`, and yield (step, loss) of each in turn.

    Fewer once `interrupted` is true, but not less than one.

    All rows are equally likely, unless `config.real_share` says how many of a batch are rows where
    `real_N` (bool, on the CPU; None: everywhere) is true: exactly that share where it is a whole
    number of rows, else on average. Without other rows it says nothing. Then each row is replaced,
    with the probability `config.augment_share`, by one of `augmented`, if there are any, which
    comes with its label; all others have a label of zeros. `config.jitter` is the standard
    deviation of fresh Gaussian noise on every row.

    `latents_NCHW` lie on the network's device. Losses come in groups of `CHECK_EVERY`: `state` and
    the yielded step agree when the iterator ends, not before; between looks nothing waits for a
    GPU. The moving average is ema <- decay ema + (1-decay) weights at every step, without a ramp,
    since it too is carried over from round to round.

    With `config.accumulate` a batch goes through the network in so many parts, with
    `config.precision` "bfloat16" its products are taken in it, and `config.compile` has torch
    compile it first. `rate` says what the learning rate is multiplied with at each step. With a
    `share` the batch is that of all processes together, which must call this with the same state
    and arguments, and for which `interrupted` must say the same.

    Raises:
        ValueError: a loss is not finite; names the step. `state` is of no use then. Or the network
            knows no labels, or others than those of `augmented`.
    """
    assert tuple(latents_NCHW.shape[1:]) == state.space.shape, "latents have the space's shape"
    labels = state.config.get("labels", 0)
    draw = drawer(latents_NCHW, config, labels, state.generator, augmented, real_N, share)
    device = latents_NCHW.device
    flat = _flat_gradients(state.network) if share or config.compile else None
    update = _updater(state, config, rate, flat, share)
    network = state.network
    if config.compile:
        network = compiling.compiled(network, device, "train.compile")
    network = _under(network, config.precision)

    def descend() -> Tensor:
        return _descend(state, network, draw(), update, config)

    end = state.step + steps
    while state.step < end:
        first, count = state.step + 1, min(CHECK_EVERY, end - state.step)
        losses_S = [descend()]
        while len(losses_S) < count and not interrupted():
            losses_S.append(descend())
        summed_S = torch.stack(losses_S)
        if share is not None:
            share.add(summed_S)
        losses = summed_S.tolist()
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


def network_field(network: Callable[..., Tensor], prediction: flow.Prediction) -> flow.Field:
    """Return the velocity field (x_BCHW, t_B) -> v_BCHW of `network`, without gradients."""

    @torch.no_grad()
    def field(x_BCHW: Tensor, t_B: Tensor) -> Tensor:
        return flow.as_velocity(network(x_BCHW, t_B), x_BCHW, t_B, prediction)

    return field


def _descend(
    state: State,
    network: Callable[..., Tensor],
    batch: Batch,
    update: Callable[[], None],
    config: params.Train,
) -> Tensor:
    """Take one step and return its loss, still on the device; of a share its part in the loss.

    The gradient of a batch is the sum of those of its parts, one after the other in memory, and of
    those of the shares.
    """
    whole, total = config.batch, torch.zeros((), device=batch[0].device)
    chunks = [None if one is None else one.chunk(config.accumulate) for one in batch]
    assert chunks[0] is not None, "there is noise"
    for place in range(len(chunks[0])):
        x0, x1, t, label = (None if one is None else one[place] for one in chunks)
        assert x0 is not None and x1 is not None and t is not None, "labels alone may be missing"  # noqa: PT018
        loss = flow.loss(network, x0, x1, t, state.prediction, label)
        part = loss if len(x0) == whole else loss * (len(x0) / whole)
        part.backward()
        total = total + part.detach()
    update()
    state.step += 1
    return total


def _under(network: Callable[..., Tensor], precision: str) -> Callable[..., Tensor]:
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


def _flat_gradients(network: nn.Module) -> Tensor:
    """Return zeros that the weights' gradients are from now on parts of, to be added to.

    One tensor is summed over processes at once. And it stays where it is, which CUDA graphs need:
    a gradient in their own memory would not outlive the next part of the batch.
    """
    weights = list(network.parameters())
    flat = torch.zeros(sum(weight.numel() for weight in weights), device=weights[0].device)
    parts = flat.split([weight.numel() for weight in weights])
    for weight, part in zip(weights, parts, strict=True):
        weight.grad = part.view_as(weight)
    return flat


def _updater(
    state: State,
    config: params.Train,
    rate: Rate,
    flat: Tensor | None,
    share: Share | None,
) -> Callable[[], None]:
    """Return what turns the gradients into new weights, moments and averages, and drops them.

    Those of a `share` are first summed over the processes, in `flat`; where there is that, it is
    set to zero in the end.

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
        if share is not None:
            assert flat is not None, "gradients that are summed lie in one tensor"
            share.add(flat)
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
        if flat is not None:
            flat.zero_()
            return
        for weight in weights:
            weight.grad = None

    return update
