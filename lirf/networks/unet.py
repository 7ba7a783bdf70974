"""Convolutions for latents with spatial structure. Exported models carry a copy of this file."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lirf.networks.condition import NULL, Condition
from lirf.networks.embedding import Embedding, attend, grid, require_shape, to_zero

GROUPS = 8  # of channels that are normalised together, at most; each of four channels or more
HEAD = 32  # channels of a head of attention, at most


class VelocityUNet(nn.Module):
    """A U-Net: residual convolutions on a pyramid of grids, conditioned on t by shift and scale.

    After Ronneberger et al. 2015 (arXiv 1505.04597) and the network of DDPM (arXiv 2006.11239). It
    treats every place alike, whereas a transformer learns from the images what is near to what.
    Grids are [H, W] / `patch` / 2^k of `width` * 2^k channels for k < `levels`, each with `depth`
    blocks on the way down and one more on the way up; the `attention` coarsest also attend.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        patch: int,
        width: int,
        levels: int,
        depth: int,
        attention: int,
        labels: int = 0,
    ):
        super().__init__()
        check(shape, patch, width, levels, attention)
        channels, height, breadth = shape
        self.shape, self.patch = (channels, height, breadth), patch
        told = 4 * width
        self.time = Embedding(told, labels)
        self.embed = nn.Conv2d(channels * patch**2, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        now, kept = width, [width]
        for level in range(levels):
            attend = level >= levels - attention
            if level:
                self.down.append(Halve(now))
                kept.append(now)
            for _ in range(depth):
                self.down.append(Block(now, width * 2**level, told, attend))
                now = width * 2**level
                kept.append(now)
        self.middle = nn.ModuleList(Block(now, now, told, attention > 0) for _ in range(2))
        for level in reversed(range(levels)):
            attend = level >= levels - attention
            for _ in range(depth + 1):
                self.up.append(Block(now + kept.pop(), width * 2**level, told, attend))
                now = width * 2**level
            if level:
                self.up.append(Double(now, now // 2))
                now //= 2
        self.normalise = nn.GroupNorm(groups(now), now)
        self.output = nn.Conv2d(now, channels * patch**2, 3, padding=1)
        to_zero(self.output)

    def forward(self, x_BCHW: Tensor, t_B: Tensor, condition: Condition = NULL) -> Tensor:
        """Return the output [B, C, H, W] at points `x_BCHW` and times `t_B` in [0, 1].

        Raises:
            ValueError: `x_BCHW` or `condition` has not the shape that the network was built for.
        """
        require_shape(x_BCHW, self.shape)
        told_BE = functional.silu(self.time(t_B, condition))
        h_BWhw = self.embed(functional.pixel_unshuffle(x_BCHW, self.patch))
        kept = [h_BWhw]
        for layer in self.down:
            h_BWhw = layer(h_BWhw, told_BE)
            kept.append(h_BWhw)
        for layer in self.middle:
            h_BWhw = layer(h_BWhw, told_BE)
        for layer in self.up:
            if isinstance(layer, Block):
                h_BWhw = torch.cat([h_BWhw, kept.pop()], dim=1)
            h_BWhw = layer(h_BWhw, told_BE)
        out_BPhw = self.output(functional.silu(self.normalise(h_BWhw)))
        return functional.pixel_shuffle(out_BPhw, self.patch)


def check(shape: tuple[int, ...], patch: int, width: int, levels: int, attention: int) -> None:
    """Raise ValueError, one line that names the key, unless such a network can be built."""
    sides = grid(shape, patch)
    if any(side % 2 ** (levels - 1) for side in sides):
        raise ValueError(
            f"initialize.network.levels = {levels}: halves {sides[0]} x {sides[1]} patches"
            f" {levels - 1} times, which leaves a rest; take fewer"
        )
    if width % 4:
        raise ValueError(f"initialize.network.width = {width}: must be a multiple of 4")
    if attention > levels:
        raise ValueError(
            f"initialize.network.attention = {attention}: must be at most levels = {levels}"
        )


class Block(nn.Module):
    """Two convolutions, the second of what the condition shifts and scales, then attention."""

    def __init__(self, before: int, after: int, told: int, attend: bool):
        super().__init__()
        self.normalise = nn.GroupNorm(groups(before), before)
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.modulation = nn.Linear(told, 2 * after)
        self.renormalise = nn.GroupNorm(groups(after), after, affine=False)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.past = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        self.attention = Attention(after) if attend else nn.Identity()
        to_zero(self.modulation)
        to_zero(self.second)

    def forward(self, x_BWhw: Tensor, told_BE: Tensor) -> Tensor:
        """Return [B, after, h, w] of [B, before, h, w] and the embedding of the condition."""
        h_BWhw = self.renormalise(self.first(functional.silu(self.normalise(x_BWhw))))
        shift_BW11, scale_BW11 = self.modulation(told_BE)[:, :, None, None].chunk(2, dim=1)
        h_BWhw = self.second(functional.silu(torch.addcmul(shift_BW11, h_BWhw, 1 + scale_BW11)))
        return self.attention(self.past(x_BWhw) + h_BWhw)


class Attention(nn.Module):
    """Self-attention over all places of a grid, added to it."""

    def __init__(self, width: int):
        super().__init__()
        self.heads = next(n for n in range(-(-width // HEAD), width + 1) if not width % n)
        self.normalise = nn.GroupNorm(groups(width), width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        to_zero(self.project)

    def forward(self, x_BWhw: Tensor) -> Tensor:
        """Return [B, W, h, w]."""
        tokens_BTW = self.normalise(x_BWhw).flatten(2).transpose(1, 2)
        mixed_BTW = self.project(attend(self.qkv(tokens_BTW), self.heads))
        return x_BWhw + mixed_BTW.transpose(1, 2).unflatten(2, x_BWhw.shape[2:])


class Halve(nn.Module):
    """Half the side of a grid."""

    def __init__(self, width: int):
        super().__init__()
        self.convolve = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x_BWhw: Tensor, told_BE: Tensor) -> Tensor:  # noqa: ARG002 - as every layer
        """Return [B, W, h / 2, w / 2]."""
        return self.convolve(x_BWhw)


class Double(nn.Module):
    """Twice the side of a grid, of fewer channels: convolved while it is small, which is cheap."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.convolve = nn.Conv2d(before, after, 3, padding=1)

    def forward(self, x_BWhw: Tensor, told_BE: Tensor) -> Tensor:  # noqa: ARG002 - as every layer
        """Return [B, after, 2 h, 2 w] of [B, before, h, w]."""
        return functional.interpolate(self.convolve(x_BWhw), scale_factor=2.0, mode="nearest")


def groups(width: int) -> int:
    """Return how many groups of channels are normalised together."""
    return next(n for n in range(min(GROUPS, width // 4), 0, -1) if not width % n)
