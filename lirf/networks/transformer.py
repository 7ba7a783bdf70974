"""A network for latents with spatial structure. Exported models carry a copy of this file."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lirf.networks.condition import NULL, Condition
from lirf.networks.embedding import Embedding, attend, grid, modulate, require_shape, split, to_zero

EXPANSION = 4  # hidden width of a block's perceptron, in widths


class VelocityTransformer(nn.Module):
    """A transformer over patches of the latent with adaLN-zero conditioning on t.

    After DiT (arXiv 2212.09748) and SiT (arXiv 2401.08740): fixed 2-D sine-cosine positions, and
    shift, scale and gate of every layer from the time embedding; here one matrix makes those of
    all blocks, which is the same function in fewer operations.
    """

    positions: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        patch: int,
        width: int,
        depth: int,
        heads: int,
        labels: int = 0,
    ):
        super().__init__()
        channels, height, breadth = shape
        patches = grid(shape, patch)
        if width % heads:
            raise ValueError(f"initialize.network.heads = {heads}: must divide width = {width}")
        if width % 4:
            raise ValueError(f"initialize.network.width = {width}: must be a multiple of 4")
        self.shape, self.patch = (channels, height, breadth), patch
        self.embed = nn.Linear(channels * patch**2, width)
        self.time = Embedding(width, labels)
        self.modulation = nn.Linear(width, width * (6 * depth + 2))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.output = nn.Linear(width, channels * patch**2)
        self.register_buffer("positions", sine_cosine_positions(patches, width), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        to_zero(self.modulation)
        to_zero(self.output)

    def forward(self, x_BCHW: Tensor, t_B: Tensor, condition: Condition = NULL) -> Tensor:
        """Return the output [B, C, H, W] at points `x_BCHW` and times `t_B` in [0, 1].

        Raises:
            ValueError: `x_BCHW` or `condition` has not the shape that the network was built for.
        """
        require_shape(x_BCHW, self.shape)
        h_BTW = self.embed(patchify(x_BCHW, self.patch)) + self.positions
        modulation_B1E = self.modulation(functional.silu(self.time(t_B, condition))).unsqueeze(1)
        *blocks, (shift, scale) = split(modulation_B1E, len(self.blocks), parts=6)
        for block, parts in zip(self.blocks, blocks, strict=True):
            h_BTW = block(h_BTW, *parts)
        return unpatchify(self.output(modulate(h_BTW, shift, scale)), self.shape, self.patch)


class Block(nn.Module):
    """Attention and perceptron, each normalised, shifted, scaled and gated by the condition."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.expand = nn.Linear(width, EXPANSION * width)
        self.contract = nn.Linear(EXPANSION * width, width)

    def forward(self, h_BTW: Tensor, *modulation_B1W: Tensor) -> Tensor:
        """Return the tokens [B, T, W] after the block; `modulation_B1W` are its six parts."""
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation_B1W
        h_BTW = torch.addcmul(h_BTW, gate1, self.attend(modulate(h_BTW, shift1, scale1)))
        hidden = functional.gelu(self.expand(modulate(h_BTW, shift2, scale2)), approximate="tanh")
        return torch.addcmul(h_BTW, gate2, self.contract(hidden))

    def attend(self, h_BTW: Tensor) -> Tensor:
        """Return multi-head self-attention over the tokens [B, T, W]."""
        return self.project(attend(self.qkv(h_BTW), self.heads))


def patchify(x_BCHW: Tensor, patch: int) -> Tensor:
    """Cut [B, C, H, W] into tokens [B, (H/p)(W/p), C p p], row by row."""
    return functional.pixel_unshuffle(x_BCHW, patch).flatten(2).transpose(1, 2)


def unpatchify(tokens_BTP: Tensor, shape: tuple[int, int, int], patch: int) -> Tensor:
    """Join tokens into [B, C, H, W]: the inverse of `patchify`."""
    grid = (shape[1] // patch, shape[2] // patch)
    return functional.pixel_shuffle(tokens_BTP.transpose(1, 2).unflatten(2, grid), patch)


def sine_cosine_positions(grid: tuple[int, int], width: int) -> Tensor:
    """Return fixed positions [T, W]: half of the width encodes the row, half the column."""
    frequencies = 10000.0 ** -(torch.arange(width // 4) / (width // 4))
    places_T2 = torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1]))
    angles_T2F = places_T2[:, :, None] * frequencies
    return torch.cat([angles_T2F.sin(), angles_T2F.cos()], dim=2).flatten(1)
