"""The solvers are torchdiffeq's to the bit, and have their order."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchdiffeq import odeint

from lirf.networks.build import build
from lirf.solvers import fixed

THEIRS = {"euler": "euler", "heun": "heun2", "midpoint": "midpoint"}


def network() -> torch.nn.Module:
    """Return a network with weights that all matter: what a solver meets in earnest."""
    torch.manual_seed(0)
    config = {"kind": "transformer", "patch": 2, "width": 16, "depth": 1, "heads": 2}
    built = build(config, (2, 4, 4)).requires_grad_(False)
    for parameter in built.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return built


def theirs(method: str, field, x: Tensor, grid: Tensor) -> Tensor:
    if len(grid) == 1:
        return x
    path = odeint(
        lambda t, x: field(x, t.expand(len(x))),
        x,
        grid[[0, -1]],
        method=method,
        options={"grid_constructor": lambda *_: grid},
    )
    assert isinstance(path, Tensor)
    return path[-1]


@pytest.mark.parametrize("solver", fixed.SOLVERS)
@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_it_is_torchdiffeq_s_to_the_bit(solver: str, steps: int):
    field, x, grid = network(), torch.randn(5, 2, 4, 4), torch.linspace(0, 1, steps + 1)
    if solver == "heun":
        expected = theirs("heun2", field, x, grid[:-1])
        expected = theirs("euler", field, expected, grid[-2:])
    else:
        expected = theirs(THEIRS[solver], field, x, grid)
    found = fixed.integrate(solver, field, x, grid)
    assert torch.equal(found, expected)
    assert (found - x).abs().max() > 0.01


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("midpoint", 2)])
def test_a_solver_has_its_order(solver: str, order: int):
    """On a field whose flow is the logistic function of the time that has run, t^2 + t."""
    x0 = torch.linspace(0.1, 0.6, 6, dtype=torch.float64)
    end = 1 / (1 + (1 / x0 - 1) * math.exp(-2))
    steps, errors = np.array([16, 32, 64, 128]), []
    for count in steps:
        times = torch.linspace(0, 1, int(count) + 1, dtype=torch.float64)
        found = fixed.integrate(solver, lambda x, t: (2 * t + 1) * x * (1 - x), x0, times)
        errors.append((found - end).norm().item())
    slope = np.polyfit(np.log(1 / steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.15)


def test_no_interval_is_no_step():
    x = torch.randn(3, 2)
    assert torch.equal(fixed.integrate("heun", lambda x, _: x / 0, x, torch.zeros(1)), x)
