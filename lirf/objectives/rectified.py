"""Rectified flow: the straight path from noise to data, its velocity, loss and exact minimiser.

t = 0 is noise, t = 1 is data, x_t = (1-t) x_0 + t x_1, v = x_1 - x_0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from lirf.networks.condition import NULL, Condition
from lirf.objectives.base import Call, Field

Prediction = Literal["velocity", "data"]
Times = Literal["uniform", "logit-normal"]

LEAST_REMAINING = 0.01
"""Least 1 - t by which a predicted data point is turned into a velocity (that of LIRF's code)."""


def interpolate(x0_B: Tensor, x1_B: Tensor, t_B: Tensor) -> Tensor:
    """Return x_t = (1-t) x_0 + t x_1 for `x0_B`, `x1_B` [B, ...] and `t_B` [B]."""
    return torch.lerp(x0_B, x1_B, _beside(t_B, x0_B))


def draw_times(count: int, times: Times, generator: torch.Generator) -> Tensor:
    """Return `count` training times: uniform on [0, 1), or the sigmoid of standard normals."""
    if times == "uniform":
        return torch.rand(count, generator=generator)
    return torch.randn(count, generator=generator).sigmoid()


def confine(t_B: Tensor, most: float, confined_B: Tensor) -> Tensor:
    """Return training times with those of `confined_B` (bool) brought from [0, 1] to [0, most]."""
    return torch.where(confined_B, most * t_B, t_B)


def as_velocity(output_B: Tensor, x_B: Tensor, t_B: Tensor, prediction: Prediction) -> Tensor:
    """Return the velocity that a network's output [B, ...] at (x, t) means.

    A predicted data point x_1 is (x_1 - x) / (1 - t), with 1 - t at least `LEAST_REMAINING`.
    """
    if prediction == "velocity":
        return output_B
    remaining_B = (1 - t_B).clamp(min=LEAST_REMAINING)
    return (output_B - x_B) / _beside(remaining_B, x_B)


@dataclass(frozen=True)
class Rectified:
    """Rectified flow (arXiv 2209.03003): the network's output is the velocity, or the data point.

    Raises:
        ValueError: `prediction` is neither.
    """

    prediction: Prediction

    def __post_init__(self):
        if self.prediction not in get_args(Prediction):
            raise ValueError(f"prediction = {self.prediction!r}: must be velocity or data")

    def loss(
        self, call: Call, x0_B: Tensor, x1_B: Tensor, t_B: Tensor, condition: Condition
    ) -> Tensor:
        """Return the mean squared error of the velocity at x_t against x_1 - x_0, a scalar.

        Under data prediction too the error is that of the velocity, so that its minimiser is the
        same field.
        """
        x_B = interpolate(x0_B, x1_B, t_B)
        velocity_B = as_velocity(call(x_B, t_B, condition), x_B, t_B, self.prediction)
        return torch.nn.functional.mse_loss(velocity_B, x1_B - x0_B)

    def field(self, call: Call, condition: Condition = NULL) -> Field:
        """Return the velocity field of a network under a condition."""
        return lambda x_B, t_B: as_velocity(call(x_B, t_B, condition), x_B, t_B, self.prediction)

    def exact(self, x_B: Tensor, t_B: Tensor, anchors_N: Tensor) -> Tensor:
        """Return the velocity of the network that minimises the loss: see `closed_form`."""
        return closed_form(x_B, t_B, anchors_N)


def closed_form(
    x_B: Tensor, t_B: Tensor, anchors_N: Tensor, least_remaining: float = 1e-4
) -> Tensor:
    """Return u*(x, t), the exact minimiser of the loss over the anchors.

        u* = sum_i w_i (x_i - x) / (1 - t),   w = softmax_i(-|x - t x_i|^2 / (2 (1-t)^2))

    `x_B` [B, ...], `t_B` [B], `anchors_N` [N, ...]; the result is like `x_B`. Computed in float64,
    since the exponents are differences of large numbers as t -> 1; there 1 - t is at least
    `least_remaining`. Memory is B N doubles.
    """
    x_BD, anchors_ND = x_B.flatten(1).double(), anchors_N.flatten(1).double()
    t_B1 = t_B.double()[:, None]
    remaining_B1 = (1 - t_B1).clamp(min=least_remaining)
    # |x|^2 is the same for every anchor and drops out of the softmax.
    exponent_BN = t_B1 * (x_BD @ anchors_ND.T) - t_B1**2 * anchors_ND.square().sum(1) / 2
    w_BN = torch.softmax(exponent_BN / remaining_B1**2, dim=1)
    return ((w_BN @ anchors_ND - x_BD) / remaining_B1).to(x_B.dtype).view_as(x_B)


def _beside(t_B: Tensor, x_B: Tensor) -> Tensor:
    """Return `t_B` with axes of size 1 appended, to broadcast against `x_B`."""
    return t_B.view(-1, *[1] * (x_B.ndim - 1))
