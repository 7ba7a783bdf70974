"""The network of a published model: what `lirf.networks.network` computes, as a diffusers model.

Published models carry a copy of this file, with one of `lirf.networks.network` beside it.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from lirf.networks.network import build


class VelocityField(ModelMixin, ConfigMixin):
    """The velocity dx/dt of a scaled latent at time t (0 noise, 1 data).

    Args:
        architecture: what `build` makes a network of.
        prediction: what the network's output means, "velocity" or "data".
        least_remaining: least 1 - t by which a predicted data point is turned into a velocity.
        space: of the latents: their shape (C, H, W), mean and std per channel, the autoencoder.
    """

    @register_to_config
    def __init__(
        self,
        architecture: dict[str, Any],
        prediction: str,
        least_remaining: float,
        space: dict[str, Any],
    ):
        super().__init__()
        self.shape = tuple(space["shape"])
        self.prediction = prediction
        self.least_remaining = least_remaining
        self.register_buffer("mean", _column(space["mean"]), persistent=False)
        self.register_buffer("std", _column(space["std"]), persistent=False)
        self.network = build(dict(architecture), self.shape)

    def forward(self, x_BCHW: Tensor, t_B: Tensor) -> Tensor:
        """Return the velocity [B, C, H, W] at points `x_BCHW` and times `t_B`."""
        output_BCHW = self.network(x_BCHW, t_B)
        if self.prediction == "velocity":
            return output_BCHW
        remaining_B = (1 - t_B).clamp(min=self.least_remaining)
        return (output_BCHW - x_BCHW) / remaining_B.view(-1, 1, 1, 1)

    def unscale(self, z_BCHW: Tensor) -> Tensor:
        """Return the raw latents, which the autoencoder decodes, of scaled ones."""
        return z_BCHW * self.std + self.mean


def _column(values: list[float]) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1)
