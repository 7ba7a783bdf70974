"""The scheduler of an exported model: the solvers of `lirf.solvers`.

Exported models carry a copy of this file.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor

from lirf.solvers.adaptive import integrate as adaptive
from lirf.solvers.fixed import SOLVERS, advance


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
        if solver not in (*SOLVERS, "dopri5"):
            raise ValueError(f"solver = {solver!r}: must be one of {', '.join(SOLVERS)}, dopri5")
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
            return adaptive(field, x_B, self.atol, self.rtol)
        return advance(self.solver, field, x_B, self.timesteps.to(x_B.dtype), interval)
