"""dopri5, through torchdiffeq. Exported models carry a copy of this file."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import torch
from torch import Tensor

MOST_STEPS = 10_000  # a sample that takes more is given up


def integrate(
    field: Callable[[Tensor, Tensor], Tensor], x_B: Tensor, atol: float, rtol: float
) -> Tensor:
    """Return x at t = 1 from `x_B` [B, ...] at t = 0 for dx/dt = field(x, t).

    Steps are chosen by `atol` and `rtol` for every sample on its own, since a shared step would
    make a sample depend on its batch. A sample on which that fails is NaN.

    Raises:
        ValueError: torchdiffeq is not installed.
    """
    return torch.cat([_one(field, x_1, atol, rtol) for x_1 in x_B.split(1)])


def _one(
    field: Callable[[Tensor, Tensor], Tensor], x_1: Tensor, atol: float, rtol: float
) -> Tensor:
    """Integrate a batch of one."""
    try:  # no `import`: it brings SciPy, and diffusers asks for it even where it is not needed
        torchdiffeq = importlib.import_module("torchdiffeq")
    except ImportError:
        raise ValueError("solver = dopri5 needs torchdiffeq: pip install torchdiffeq") from None
    ends = torch.tensor([0.0, 1.0], device=x_1.device)
    try:
        path = torchdiffeq.odeint(
            lambda t, x_1: field(x_1, t.to(x_1.dtype).expand(1)),
            x_1,
            ends,
            method="dopri5",
            atol=atol,
            rtol=rtol,
            # Without a step that ends at t = 1 it would go past it and interpolate.
            options={"step_t": ends[1:], "max_num_steps": MOST_STEPS},
        )
    except AssertionError:  # torchdiffeq's: the step underflows, or there are too many
        return torch.full_like(x_1, math.nan)
    return path[-1]
