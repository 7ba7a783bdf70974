"""A step of training against the loop that one writes first, on the same batches.

That loop sends one tensor at a time to the device, asks for every loss, and averages weights one by
one. Both see the same rows, noise and times, so that their losses are the same but for rounding.
"""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lirf import flow, params, training
from lirf.space import Space

LOADED = params.load(Path(__file__).parents[2] / "params.yaml")
SPACE = Space("f00d", (4, 4, 4), (0.0,) * 4, (1.0,) * 4)
CPU = torch.device("cpu")
TOLERANCE = 1e-3  # of a loss, relative


def naive(state: training.State, latents: torch.Tensor, config: params.Train, steps: int):
    """Yield the losses of training as in a tutorial."""
    device = latents.device
    optimiser = torch.optim.AdamW(
        state.network.parameters(),
        config.learning_rate,
        config.betas,
        weight_decay=config.weight_decay,
        foreach=False,
        fused=False,
    )
    rows_N = list(latents.cpu())
    for _ in range(steps):
        chosen = torch.randint(len(rows_N), (config.batch,), generator=state.generator)
        x0 = torch.randn((config.batch, *latents.shape[1:]), generator=state.generator).to(device)
        t = flow.draw_times(config.batch, config.times, state.generator).to(device)
        x1 = torch.stack([rows_N[row].to(device) for row in chosen.tolist()])
        loss = flow.loss(state.network, x0, x1, t, state.prediction)
        optimiser.zero_grad()
        loss.backward()
        if config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(
                state.network.parameters(), config.clip_norm, foreach=False
            )
        optimiser.step()
        with torch.no_grad():
            pairs = zip(state.ema.parameters(), state.network.parameters(), strict=True)
            for average, weight in pairs:
                average.mul_(config.ema_decay).add_(weight, alpha=1 - config.ema_decay)
        yield loss.item()


@pytest.mark.benchmark(timer=time.process_time)
def test_a_step(paired, machine, full, say):
    steps, rounds = (50, 5) if full else (3, 1)
    latents = torch.randn(100, *SPACE.shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = (training.initial(LOADED.initialize, SPACE, CPU) for _ in range(2))
    losses: tuple[list[float], list[float]] = ([], [])

    def fast():
        losses[0].extend(loss for _, loss in training.train(ours, latents, LOADED.train, steps))

    def slow():
        losses[1].extend(naive(theirs, latents, LOADED.train, steps))

    product, took = paired(fast, lambda: 1 / machine.seconds(slow), rounds)
    if not full:
        slow()
    weights = sum(weight.numel() for weight in ours.network.parameters())
    rate = machine.sgemm(64, 512, 128) if full else 1
    tokens = LOADED.train.batch * 4
    share = 6 * weights * tokens * steps / (took * rate)
    say(
        f"training {1e3 * took / steps:.1f} ms a step, {1 / product:.2f} times the naive rate;"
        f" {share:.2f} of a product of 64 x 512 x 128"
    )
    # The first turns alone: every turn of the tutorial's loop begins with new moments.
    np.testing.assert_allclose(losses[0][:steps], losses[1][:steps], rtol=TOLERANCE)
