"""The scheduler of a published model: the solvers of `lirf.sampling.sampler`, to the bit.

Published models carry a copy of this file.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

SOLVERS = ("euler", "heun", "midpoint", "dopri5")
MOST_STEPS = 10_000  # dopri5 gives up on a sample after this many


class FlowScheduler(SchedulerMixin, ConfigMixin):
    """Times from noise (t = 0) to data (t = 1), and how a sample gets from one to the next.

    Args:
        solver: "euler", "heun" (its last interval is Euler's) or "midpoint", in `steps` equal
            intervals; or "dopri5", which chooses its steps by `atol` and `rtol` for every sample.
        steps: intervals, unless `set_timesteps` says another number.
    """

    order = 1
    timesteps: Tensor

    @register_to_config
    def __init__(
        self, solver: str = "heun", steps: int = 20, atol: float = 1e-6, rtol: float = 1e-3
    ):
        if solver not in SOLVERS:
            raise ValueError(f"solver = {solver!r}: must be one of {', '.join(SOLVERS)}")
        self.solver, self.steps, self.atol, self.rtol = solver, steps, atol, rtol
        self.set_timesteps()

    def set_timesteps(
        self, num_inference_steps: int | None = None, device: torch.device | str | None = None
    ) -> None:
        """Set `timesteps`, the ends of all intervals; by default as many as in training."""
        if self.solver == "dopri5":
            if num_inference_steps is not None:
                raise ValueError("num_inference_steps: dopri5 chooses its own; leave it out")
            self.timesteps = torch.tensor([0.0, 1.0], device=device)
            return
        steps = self.steps if num_inference_steps is None else num_inference_steps
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise ValueError(f"num_inference_steps = {steps!r}: must be a positive integer")
        self.timesteps = torch.linspace(0, 1, steps + 1, device=device)

    def advance(
        self, field: Callable[[Tensor, Tensor], Tensor], interval: int, x_B: Tensor
    ) -> Tensor:
        """Return the samples at the end of an interval from those at its start, `x_B` [B, ...]."""
        if self.solver == "dopri5":
            return torch.cat([self._adaptive(field, x_1) for x_1 in x_B.split(1)])
        times = self.timesteps.to(x_B.dtype)
        start, end = times[interval], times[interval + 1]
        length = end - start
        k1_B = field(x_B, start.expand(len(x_B)))
        if self.solver == "midpoint":
            half = 0.5 * length
            return x_B + length * field(x_B + k1_B * half, (start + half).expand(len(x_B)))
        if self.solver == "euler" or interval == len(times) - 2:
            return x_B + length * k1_B
        k2_B = field(x_B + length * k1_B, (start + length).expand(len(x_B)))
        return x_B + length * (k1_B * 0.5 + k2_B * 0.5)

    def _adaptive(self, field: Callable[[Tensor, Tensor], Tensor], x_1: Tensor) -> Tensor:
        """Integrate a batch of one from 0 to 1; NaN where that fails."""
        try:  # not `import`: diffusers would call for it even where it is not needed
            torchdiffeq = importlib.import_module("torchdiffeq")
        except ImportError:
            raise ValueError("solver = dopri5 needs torchdiffeq: pip install torchdiffeq") from None
        try:
            path = torchdiffeq.odeint(
                lambda t, x_1: field(x_1, t.to(x_1.dtype).expand(1)),
                x_1,
                self.timesteps,
                method="dopri5",
                atol=self.atol,
                rtol=self.rtol,
                options={"step_t": self.timesteps[1:], "max_num_steps": MOST_STEPS},
            )
        except AssertionError:  # torchdiffeq's: the step underflows, or there are too many
            return torch.full_like(x_1, math.nan)
        return path[-1]
