"""A network for points. Exported models carry a copy of this file."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lirf.networks.condition import NULL, Condition
from lirf.networks.embedding import Embedding, modulate, require_shape, split, to_zero

EMBEDDED = 128  # width of the embedding of time and condition


class VelocityMLP(nn.Module):
    """A residual perceptron over the flattened latent, each layer shifted, scaled and gated.

    For points in the plane (2 x 1 x 1) and other data without spatial structure.
    """

    def __init__(self, shape: tuple[int, ...], width: int, depth: int, labels: int = 0):
        super().__init__()
        self.shape = tuple(shape)
        self.embed = nn.Linear(math.prod(shape), width)
        self.time = Embedding(EMBEDDED, labels)
        self.modulation = nn.Linear(EMBEDDED, width * (3 * depth + 2))
        self.expand = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.contract = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.output = nn.Linear(width, math.prod(shape))
        # Gates open, unlike the transformer's: a perceptron this small learns faster so, and
        # shift and scale still begin at zero.
        to_zero(self.modulation)
        for index in range(depth):
            nn.init.ones_(self.modulation.bias[(3 * index + 2) * width : (3 * index + 3) * width])
        to_zero(self.output)

    def forward(self, x_BCHW: Tensor, t_B: Tensor, condition: Condition = NULL) -> Tensor:
        """Return the output [B, C, H, W] at points `x_BCHW` and times `t_B` in [0, 1].

        Raises:
            ValueError: `x_BCHW` or `condition` has not the shape that the network was built for.
        """
        require_shape(x_BCHW, self.shape)
        h_BW = self.embed(x_BCHW.flatten(1))
        modulation = self.modulation(functional.silu(self.time(t_B, condition)))
        *blocks, (shift, scale) = split(modulation, len(self.expand), parts=3)
        for (shift1, scale1, gate), expand, contract in zip(
            blocks, self.expand, self.contract, strict=True
        ):
            hidden = functional.silu(expand(modulate(h_BW, shift1, scale1)))
            h_BW = torch.addcmul(h_BW, gate, contract(hidden))
        return self.output(modulate(h_BW, shift, scale)).unflatten(1, self.shape)
