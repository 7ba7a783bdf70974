"""A step of training against the loop that one writes first, on the same batches.

That loop sends one tensor at a time to the device, asks for every loss, and averages weights one by
one. Both see the same rows, noise and times, so that their losses are the same but for rounding.

On a CPU on one thread by the processor's time, which repeats on a busy machine, as it comes and by
the levers, compiled in bfloat16; and on all cores by the clock, which says something on an idle
one. On a GPU by the levers, and a network of the size that images of 256 px are made with. The
tutorial's loop is in float32 throughout.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lirf import params
from lirf.networks.condition import NULL
from lirf.objectives import rectified
from lirf.sampling import sampler
from lirf.store.space import Space
from lirf.training import devices, loop
from lirf.training import state as states
from lirf.training.state import State

LOADED = params.load(Path(__file__).parents[2] / "params.yaml")
SPACE = Space("f00d", (4, 4, 4), (0.0,) * 4, (1.0,) * 4)
CPU, GPU = torch.device("cpu"), torch.device("cuda")
LEVERS = {"precision": "bfloat16", "compile": True}
TOLERANCE = 1e-3  # of a loss, relative
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
OPEN = LOADED.sample.model_copy(update={"batch": None})
LARGE = {"width": 768, "depth": 12, "heads": 12}  # 130 million weights
LARGE_SPACE = Space("f00d", (4, 32, 32), (0.0,) * 4, (1.0,) * 4)


def naive(state: State, latents: torch.Tensor, config: params.Train, steps: int):
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
        t = rectified.draw_times(config.batch, config.times, state.generator).to(device)
        x1 = torch.stack([rows_N[row].to(device) for row in chosen.tolist()])
        loss = state.objective.loss(state.network, x0, x1, t, NULL)
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


def start(space: Space, where: torch.device, **network: int) -> State:
    config = LOADED.initialize.network.model_copy(update=network)
    return states.initial(LOADED.initialize.model_copy(update={"network": config}), space, where)


class Duel:
    """The two loops on the same latents, each with a network of its own."""

    def __init__(self, states: list[State], config: params.Train, steps: int) -> None:
        (self.ours, self.theirs), self.config, self.steps = states, config, steps
        where, shape = next(self.ours.network.parameters()).device, self.ours.space.shape
        self.latents = torch.randn(100, *shape, generator=torch.Generator().manual_seed(0)).to(
            where
        )
        self.losses: tuple[list[float], list[float]] = ([], [])

    def fast(self) -> None:
        steps = loop.train(self.ours, self.latents, self.config, self.steps)
        self.losses[0].extend(loss for _, loss in steps)

    def slow(self) -> None:
        self.losses[1].extend(naive(self.theirs, self.latents, self.config, self.steps))

    def assert_same(self, tolerance: float) -> None:
        """Compare the first turns alone: every one of the tutorial's begins with new moments."""
        if not self.losses[1]:
            self.slow()
        ours, theirs = (losses[: self.steps] for losses in self.losses)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler's own
@pytest.mark.parametrize("options", [{}, LEVERS], ids=["as it comes", "levers"])
def test_a_step(paired, machine, full, say, options: dict[str, Any]):
    config = LOADED.train.model_copy(update=options)
    network = {"width": 16, "depth": 1, "heads": 1} if options and not full else {}  # compiled soon
    duel = Duel([start(SPACE, CPU, **network) for _ in range(2)], config, 50 if full else 3)
    duel.fast()  # compiles
    product, took = paired(duel.fast, lambda: 1 / machine.seconds(duel.slow), 5)
    weights = sum(weight.numel() for weight in duel.ours.network.parameters())
    rate = machine.sgemm(64, 512, 128) if full else 1
    share = 6 * weights * config.batch * 4 * duel.steps / (took * rate)
    say(
        f"training {options or 'as it comes'}: {1e3 * took / duel.steps:.1f} ms a step,"
        f" {1 / product:.2f} times the naive rate;"
        f" {share:.2f} of a product of 64 x 512 x 128 in float32"
    )
    duel.assert_same(TOLERANCE)


@pytest.mark.benchmark(timer=time.perf_counter)
def test_a_step_on_all_cores(paired, all_cores, full, say):
    duel = Duel([start(SPACE, CPU) for _ in range(2)], LOADED.train, 50 if full else 3)

    def elapsed() -> float:
        began = time.perf_counter()
        duel.slow()
        return time.perf_counter() - began

    product, took = paired(duel.fast, lambda: 1 / elapsed(), 9)
    say(
        f"training on {all_cores} threads {1e3 * took / duel.steps:.1f} ms a step by the clock,"
        f" {1 / product:.2f} times the naive rate"
    )
    duel.assert_same(TOLERANCE)


def operations(weights: int, tokens: int, width: int, depth: int, batch: int) -> float:
    """Return those of a training step: 6 a weight and token, and attention's two products.

    The weights of the modulation see a row and not a token, and count for that.
    """
    modulation = width * width * (6 * depth + 2)
    products = 6 * ((weights - modulation) * tokens + modulation)
    return batch * (products + 12 * depth * width * tokens**2)


@ON_GPU
@pytest.mark.benchmark(timer=time.perf_counter)
def test_a_step_of_a_large_network_on_a_gpu(paired, machine, full, say):
    network = LARGE if full else {"width": 64, "depth": 2, "heads": 2}
    options: dict[str, Any] = {"batch": 256 if full else 8}
    config = LOADED.train.model_copy(update=options | LEVERS)
    duel = Duel([start(LARGE_SPACE, GPU, **network) for _ in range(2)], config, 25 if full else 3)
    duel.fast()  # compiles
    duel.losses[0].clear()
    peak = machine.bfloat16() if full else 1
    product, took = paired(duel.fast, lambda: 1 / machine.seconds(duel.slow), 3)
    weights = sum(weight.numel() for weight in duel.ours.network.parameters())
    done = operations(weights, 256, network["width"], network["depth"], options["batch"])
    say(
        f"training {weights / 1e6:.0f} million weights, batch {options['batch']}:"
        f" {1e3 * took / duel.steps:.1f} ms a step, {done * duel.steps / (took * peak):.2f} of the"
        f" measured bfloat16 peak, {1 / product:.2f} times the naive rate in float32"
    )
    assert np.isfinite(duel.losses[0]).all()


@ON_GPU
@pytest.mark.parametrize("options", [{}, {"compile": True}])
def test_losses_on_a_gpu_are_those_of_the_naive_loop(options: dict[str, Any]):
    config = LOADED.train.model_copy(update=options)
    duel = Duel([start(SPACE, GPU) for _ in range(2)], config, 100)
    duel.fast()
    duel.assert_same(TOLERANCE)


@ON_GPU
@pytest.mark.benchmark(timer=time.perf_counter)
def test_samples_of_a_large_network_on_a_gpu(benchmark, full, say):
    state = start(LARGE_SPACE, GPU, **(LARGE if full else {"width": 64, "depth": 2, "heads": 2}))
    count = 1000 if full else 5
    seeds = sampler.seeds(0, "benchmark", count)
    field = state.field
    options: dict[str, Any] = {"batch": sampler.batch(field, LARGE_SPACE.shape, OPEN, GPU)}
    options["batch"] = min(options["batch"], 256)
    call = devices.compiled(state.ema, GPU, "sample.compile")
    field = state.objective.field(devices.padded(call, options["batch"]))
    config = LOADED.sample.model_copy(update=options)

    def draw() -> None:
        for _ in sampler.sample(field, seeds, LARGE_SPACE.shape, config, GPU):
            pass

    draw()  # compiles
    benchmark.pedantic(draw, rounds=3 if full else 1)
    if full:
        rate = count / benchmark.stats.stats.median
        say(f"{count} samples, {config.solver} in {config.steps} steps: {rate:.0f} a second")
