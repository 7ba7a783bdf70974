"""The steps of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lirf import params
from lirf.networks.condition import Condition
from lirf.objectives.base import Call
from lirf.training import devices
from lirf.training.batches import Augmented, Batch, Share, batch_sampler
from lirf.training.state import MOMENTS, State

CHECK_EVERY = 25  # steps between looks at the losses; a look waits for the device

LRSchedule = Callable[[int], float]
"""By step, counted like `State.step` from 1: what the learning rate is multiplied with."""


def constant(step: int) -> float:  # noqa: ARG001 - a schedule is a function of the step
    """Return the schedule of a training without an end in sight: 1 at every step."""
    return 1.0


def cooldown(last: int, steps: int) -> LRSchedule:
    """Return the schedule that falls in a line over the `steps` up to step `last`, from 1 before.

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
    schedule: LRSchedule = constant,
    interrupted: Callable[[], object] = lambda: False,
    share: Share | None = None,
) -> Iterator[tuple[int, float]]:
    """Take `steps` steps on the rows of `latents_NCHW`, and yield (step, loss) of each in turn.

    Fewer once `interrupted` is true, but not less than one. `batches.batch_sampler` says what
    `augmented` and `real_N` do; latents and they lie on the network's device, `real_N` on the CPU.

    Losses come in groups of `CHECK_EVERY`: `state` and the yielded step agree when the iterator
    ends, not before; between looks nothing waits for a GPU. The moving average is
    ema <- decay ema + (1-decay) weights at every step, without a ramp, since it too is carried
    over from round to round.

    With `config.accumulate` a batch goes through the network in so many parts, with
    `config.precision` "bfloat16" its products are taken in it, and `config.compile` has torch
    compile it first. With a `share` the batch is that of all processes together, which must call
    this with the same state and arguments, and for which `interrupted` must say the same.

    Raises:
        ValueError: a loss is not finite; names the step. `state` is of no use then. Or the network
            knows no labels, or others than those of `augmented`.
    """
    assert tuple(latents_NCHW.shape[1:]) == state.space.shape, "latents have the space's shape"
    labels = state.config.get("labels", 0)
    draw = batch_sampler(latents_NCHW, config, labels, state.generator, augmented, real_N, share)
    flat = _flat_gradients(state.network) if share or config.compile else None
    update = _updater(state, config, schedule, flat, share)
    network = state.network
    if config.compile:
        network = devices.compiled(network, latents_NCHW.device, "train.compile")
    network = _under(network, config.precision)

    end = state.step + steps
    while state.step < end:
        first, count = state.step + 1, min(CHECK_EVERY, end - state.step)
        losses_S = list[Tensor]()
        while len(losses_S) < count and not (losses_S and interrupted()):
            losses_S.append(_descend(state, network, draw(), config))
            update()
            state.step += 1
        summed_S = torch.stack(losses_S)
        if share is not None:
            share.add(summed_S)
        losses = list(enumerate(summed_S.tolist(), start=first))
        _require_finite(losses)
        yield from losses
        if interrupted():
            return


def _require_finite(losses: list[tuple[int, float]]) -> None:
    """Raise ValueError where the loss of a step is not finite."""
    for step, loss in losses:
        if not math.isfinite(loss):
            raise ValueError(
                f"step {step}: the loss is {loss}; lower train.learning_rate or set train.clip_norm"
            )


def _descend(state: State, network: Call, batch: Batch, config: params.Train) -> Tensor:
    """Add up the gradient of a batch and return its loss on the device; of a share its part.

    The gradient is the sum of those of the batch's parts, one after the other in memory, and of
    those of the shares.
    """
    total = torch.zeros((), device=batch.x0.device)
    for part in batch.split(config.accumulate):
        loss = state.objective.loss(network, part.x0, part.x1, part.t, part.condition)
        if len(part.x0) != config.batch:
            loss = loss * (len(part.x0) / config.batch)
        loss.backward()
        total = total + loss.detach()
    return total


def _under(network: Call, precision: str) -> Call:
    """Return `network` as training calls it: as it is, or its products in bfloat16.

    Its weights, their gradients, moments and averages stay float32, and so does the loss.
    """
    if precision == "float32":
        return network

    def cast(x_BCHW: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        with torch.autocast(x_BCHW.device.type, torch.bfloat16):
            output_BCHW = network(x_BCHW, t_B, condition)
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
    schedule: LRSchedule,
    flat: Tensor | None,
    share: Share | None,
) -> Callable[[], None]:
    """Return what turns the gradients into new weights, moments and averages, and drops them.

    Those of a `share` are first summed over the processes, in `flat`; where there is that, it is
    set to zero in the end.

    AdamW is called as a function: to construct a `torch.optim.Optimizer` imports torch's compiler,
    several seconds of a processor, more than a short run's first hundred steps.
    """
    names, weights = zip(*state.network.named_parameters(), strict=True)
    weights, averages = list[Tensor](weights), list[Tensor](state.ema.parameters())
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
            lr=config.learning_rate * schedule(state.step + 1),
            weight_decay=config.weight_decay,
            eps=1e-8,
            maximize=False,
        )
        average(averages, weights, None)
        if flat is not None:
            flat.zero_()
        else:
            for weight in weights:
                weight.grad = None

    return update
