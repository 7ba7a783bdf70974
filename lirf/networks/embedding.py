"""What networks share: time and condition as a vector, how it modulates, attention, patches.

Exported models carry a copy of this file.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lirf.networks.condition import Condition

FREQUENCIES = 128
FASTEST = 100.0  # radians over t in [0, 1]


class Embedding(nn.Module):
    """Sines and cosines of t at geometrically spaced frequencies, then a perceptron: [B, W].

    An augmentation label adds a linear map of itself, without bias, so that zeros add nothing.
    """

    frequencies: Tensor

    def __init__(self, width: int, labels: int = 0):
        super().__init__()
        exponents = torch.linspace(0, 1, FREQUENCIES)
        self.register_buffer("frequencies", FASTEST**exponents, persistent=False)
        self.expand = nn.Linear(2 * FREQUENCIES, width)
        self.contract = nn.Linear(width, width)
        self.labels = labels
        self.label = nn.Parameter(torch.zeros(width, labels)) if labels else None

    def forward(self, t_B: Tensor, condition: Condition) -> Tensor:
        """Return the embedding [B, W] of times `t_B` and a condition.

        Raises:
            ValueError: the augmentation labels have not the length that the network was built for.
        """
        angles_BF = t_B[:, None] * self.frequencies
        waves_BF = torch.cat([angles_BF.cos(), angles_BF.sin()], dim=1)
        h_BW = self.contract(functional.silu(self.expand(waves_BF)))
        label_BL = condition.augmentation
        if label_BL is None:
            return h_BW
        if self.label is None or label_BL.shape[1] != self.labels:
            raise ValueError(
                f"augmentation labels of {label_BL.shape[1]} numbers: this network was built for"
                f" {self.labels}; initialize one for train.augment_share, and train from there"
            )
        return h_BW + functional.linear(label_BL, self.label)


def modulate(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return normalise(h) * (1 + scale) + shift over the last axis."""
    return torch.addcmul(shift, functional.layer_norm(h, h.shape[-1:], eps=1e-6), 1 + scale)


def split(modulation: Tensor, depth: int, parts: int) -> list[tuple[Tensor, ...]]:
    """Cut the last axis into `parts` pieces for each of `depth` blocks, then a pair."""
    pieces = modulation.chunk(parts * depth + 2, dim=-1)
    blocks = [pieces[start : start + parts] for start in range(0, parts * depth, parts)]
    return [*blocks, pieces[-2:]]


def to_zero(layer: nn.Linear | nn.Conv2d) -> None:
    """Set weights and bias to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def attend(qkv_BTE: Tensor, heads: int) -> Tensor:
    """Return multi-head attention [B, T, W] of queries, keys and values side by side, E = 3 W."""
    qkv_3BhTd = qkv_BTE.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    query_BhTd, key_BhTd, value_BhTd = qkv_3BhTd.unbind(0)
    mixed_BhTd = functional.scaled_dot_product_attention(query_BhTd, key_BhTd, value_BhTd)
    return mixed_BhTd.transpose(1, 2).flatten(2)


def grid(shape: tuple[int, ...], patch: int) -> tuple[int, int]:
    """Return how many patches latents [C, H, W] have down and across.

    Raises:
        ValueError: one line that names the key: they do not divide the latents.
    """
    _, height, breadth = shape
    if height % patch or breadth % patch:
        raise ValueError(
            f"initialize.network.patch = {patch}: must divide the latents' sides,"
            f" {height} x {breadth}"
        )
    return height // patch, breadth // patch


def require_shape(x_BCHW: Tensor, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless latents have the shape that a network was built for."""
    if tuple(x_BCHW.shape[1:]) != shape:
        raise ValueError(
            f"latents of shape {' x '.join(map(str, x_BCHW.shape[1:]))}: this network was built"
            f" for {' x '.join(map(str, shape))}"
        )
