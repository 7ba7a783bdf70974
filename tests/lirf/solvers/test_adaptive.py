"""dopri5 keeps its tolerance and its interval, for every sample on its own."""

import math
import subprocess
import sys

import torch

from lirf.solvers import adaptive


def test_it_keeps_its_tolerance_and_its_interval():
    """On a field whose flow is the logistic function of the time that has run, t^2 + t."""
    x0 = torch.linspace(0.1, 0.6, 3, dtype=torch.float64).view(3, 1)
    end = 1 / (1 + (1 / x0 - 1) * math.exp(-2))
    times = list[float]()

    def field(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        times.extend(t.tolist())
        return (2 * t[:, None] + 1) * x * (1 - x)

    errors = [
        (adaptive.integrate(field, x0, tolerance, tolerance) - end).abs().max()
        for tolerance in (1e-3, 1e-9)
    ]
    assert errors[1] < 1e-8 < errors[0] < 1e-2
    assert min(times) == 0
    assert 1 - 1e-9 <= max(times) <= 1


def test_a_sample_on_which_it_fails_is_nan_and_the_others_are_what_they_are_alone():
    x0 = torch.tensor([[0.5], [torch.nan], [-2.0]])

    def field(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return x.sin() + t[:, None]

    found = adaptive.integrate(field, x0, 1e-6, 1e-3)
    assert found.isnan().squeeze().tolist() == [False, True, False]
    assert torch.equal(found[2:], adaptive.integrate(field, x0[2:], 1e-6, 1e-3))


def test_it_is_loaded_only_where_it_integrates():
    program = "import sys, lirf.solvers.adaptive; print('torchdiffeq' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
