"""The network of an exported model: that of `lirf.networks`, as a diffusers model.

Exported models carry a copy of this file.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from lirf.networks.build import build as build_network
from lirf.objectives.build import build as build_objective


class VelocityField(ModelMixin, ConfigMixin):
    """The velocity dx/dt of a scaled latent at time t (0 noise, 1 data).

    Args:
        architecture: what `networks.build` makes a network of.
        objective: what `objectives.build` makes of what the network's output means.
        space: of the latents: their shape (C, H, W), mean and std per channel, the autoencoder.
    """

    @register_to_config
    def __init__(
        self, architecture: dict[str, Any], objective: dict[str, Any], space: dict[str, Any]
    ):
        super().__init__()
        self.shape = tuple(space["shape"])
        self.register_buffer("mean", _column(space["mean"]), persistent=False)
        self.register_buffer("std", _column(space["std"]), persistent=False)
        self.network = build_network(dict(architecture), self.shape)
        self.objective = build_objective(objective)

    def forward(self, x_BCHW: Tensor, t_B: Tensor) -> Tensor:
        """Return the velocity [B, C, H, W] at points `x_BCHW` and times `t_B`."""
        return self.objective.field(self.network)(x_BCHW, t_B)

    def unscale(self, z_BCHW: Tensor) -> Tensor:
        """Return the raw latents, which the autoencoder decodes, of scaled ones."""
        return z_BCHW * self.std + self.mean


def _column(values: list[float]) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1)
