"""The published solvers are those of the sampler, to the bit."""

from typing import Literal

import pytest
import torch

from lirf import params
from lirf.publish.scheduler import FlowScheduler
from lirf.sampling import sampler


def field(x_BCHW: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
    t_B111 = t_B[:, None, None, None]
    return (x_BCHW * 3 + t_B111).sin() * (1 + t_B111) - x_BCHW.flip(1)


@pytest.mark.parametrize("solver", ["euler", "heun", "midpoint", "dopri5"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_it_integrates_as_the_sampler_does(
    solver: Literal["euler", "heun", "midpoint", "dopri5"], steps: int
):
    config = params.Sample(
        seed=0,
        ratio=1.0,
        solver=solver,
        steps=steps,
        atol=1e-6,
        rtol=1e-3,
        batch=3,
        compile=False,
    )
    x = sampler.noise([1, 2, 3], (2, 4, 4))
    expected = sampler.integrate(field, x, config)
    scheduler = FlowScheduler(solver, steps)
    for interval in range(len(scheduler.timesteps) - 1):
        x = scheduler.advance(field, interval, x)
    assert torch.equal(x, expected)


def test_the_number_of_steps_can_be_another():
    scheduler = FlowScheduler("euler", 4)
    scheduler.set_timesteps(2)
    assert scheduler.timesteps.tolist() == [0, 0.5, 1]
    scheduler.set_timesteps()
    assert len(scheduler.timesteps) == 5


@pytest.mark.parametrize("steps", [0, -1, 2.0, True])
def test_a_number_of_steps_that_is_none_is_refused(steps: object):
    with pytest.raises(ValueError, match=r"^num_inference_steps = .*: must be a positive integer$"):
        FlowScheduler().set_timesteps(steps)  # pyright: ignore[reportArgumentType]


def test_an_adaptive_solver_takes_no_number_of_steps():
    with pytest.raises(ValueError, match="dopri5 chooses its own"):
        FlowScheduler("dopri5").set_timesteps(5)


def test_an_unknown_solver_is_refused():
    with pytest.raises(ValueError, match="solver = 'rk9': must be one of euler, heun"):
        FlowScheduler("rk9")


def test_dopri5_that_fails_on_a_sample_is_nan():
    scheduler = FlowScheduler("dopri5", atol=1e-30, rtol=1e-30)
    found = scheduler.advance(lambda x, t: x * torch.nan, 0, torch.ones(1, 1, 1, 1))
    assert bool(found.isnan().all())
