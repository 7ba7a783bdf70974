"""The velocity network, in one file that needs torch and nothing else of this package.

Published models carry a copy of it. A network maps (x_BCHW, t_B) to [B, C, H, W]; what its output
means, velocity or data, is not its business (`flow.as_velocity`). Output is zero at the start.

A network with `labels` is told in training how a row was augmented (EDM, arXiv 2206.00364, appendix
F.2), so that augmentation does not leak into samples: without a label, or with a label of zeros,
it answers for rows as they are.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

TIME_FREQUENCIES = 128
TIME_FASTEST = 100.0  # radians over t in [0, 1]
TIME_WIDTH = 128  # of the perceptron's time embedding
EXPANSION = 4  # hidden width of a transformer block's perceptron, in widths

_KEYS = {"transformer": ("patch", "width", "depth", "heads"), "mlp": ("width", "depth")}


def build(config: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    """Return the untrained network of `config` for latents of `shape` = (C, H, W).

    `config` is plain JSON: `kind` ("transformer" with `patch`, `width`, `depth`, `heads`, or "mlp"
    with `width`, `depth`), every size a positive integer; and, where it is more than 0, `labels`,
    the length of an augmentation label. Weights come from torch's global generator, and but for
    the label's own, which begin at zero, are the same whatever `labels`.

    Raises:
        ValueError: one line that names the key `initialize.network.<key>`.
    """
    kind = config.get("kind")
    if kind not in _KEYS:
        raise ValueError(f"initialize.network.kind = {kind!r}: must be one of {', '.join(_KEYS)}")
    for key in config.keys() - {"kind", "labels", *_KEYS[kind]}:
        raise ValueError(f"initialize.network.{key}: unknown for kind {kind}; remove it")
    for key in _KEYS[kind]:
        value = config.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"initialize.network.{key} = {value!r}: must be a positive integer")
    labels = config.get("labels", 0)
    if not isinstance(labels, int) or isinstance(labels, bool) or labels < 0:
        raise ValueError(
            f"initialize.network.labels = {labels!r}: must be a whole number, 0 or more"
        )
    sizes = {**{key: config[key] for key in _KEYS[kind]}, "labels": labels}
    if kind == "transformer":
        return VelocityTransformer(shape, **sizes)
    return VelocityMLP(shape, **sizes)


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
        if height % patch or breadth % patch:
            raise ValueError(
                f"initialize.network.patch = {patch}: must divide the latents' sides,"
                f" {height} x {breadth}"
            )
        if width % heads:
            raise ValueError(f"initialize.network.heads = {heads}: must divide width = {width}")
        if width % 4:
            raise ValueError(f"initialize.network.width = {width}: must be a multiple of 4")
        self.shape, self.patch = (channels, height, breadth), patch
        self.embed = nn.Linear(channels * patch**2, width)
        self.time = TimeEmbedding(width, labels)
        self.modulation = nn.Linear(width, width * (6 * depth + 2))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.output = nn.Linear(width, channels * patch**2)
        grid = (height // patch, breadth // patch)
        self.register_buffer("positions", sine_cosine_positions(grid, width), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        _to_zero(self.modulation)
        _to_zero(self.output)

    def forward(self, x_BCHW: Tensor, t_B: Tensor, label_BL: Tensor | None = None) -> Tensor:
        """Return the output [B, C, H, W] at points `x_BCHW` and times `t_B` in [0, 1].

        `label_BL` says how each row was augmented; None, like zeros: not at all.

        Raises:
            ValueError: `x_BCHW` or `label_BL` has not the shape that the network was built for.
        """
        _require_shape(x_BCHW, self.shape)
        h_BTW = self.embed(patchify(x_BCHW, self.patch)) + self.positions
        modulation_B1E = self.modulation(functional.silu(self.time(t_B, label_BL))).unsqueeze(1)
        *blocks, (shift, scale) = _split(modulation_B1E, len(self.blocks))
        for block, parts in zip(self.blocks, blocks, strict=True):
            h_BTW = block(h_BTW, *parts)
        return unpatchify(self.output(_modulate(h_BTW, shift, scale)), self.shape, self.patch)


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
        h_BTW = torch.addcmul(h_BTW, gate1, self.attend(_modulate(h_BTW, shift1, scale1)))
        hidden = functional.gelu(self.expand(_modulate(h_BTW, shift2, scale2)), approximate="tanh")
        return torch.addcmul(h_BTW, gate2, self.contract(hidden))

    def attend(self, h_BTW: Tensor) -> Tensor:
        """Return multi-head self-attention over the tokens [B, T, W]."""
        qkv_3BhTd = self.qkv(h_BTW).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed_BhTd = functional.scaled_dot_product_attention(*qkv_3BhTd.unbind(0))
        return self.project(mixed_BhTd.transpose(1, 2).flatten(2))


class VelocityMLP(nn.Module):
    """A residual perceptron over the flattened latent, each layer conditioned on t as above.

    For points in the plane (2 x 1 x 1) and other data without spatial structure.
    """

    def __init__(self, shape: tuple[int, ...], width: int, depth: int, labels: int = 0):
        super().__init__()
        self.shape = tuple(shape)
        self.embed = nn.Linear(math.prod(shape), width)
        self.time = TimeEmbedding(TIME_WIDTH, labels)
        self.modulation = nn.Linear(TIME_WIDTH, width * (3 * depth + 2))
        self.expand = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.contract = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.output = nn.Linear(width, math.prod(shape))
        # Gates open, unlike the transformer's: a perceptron this small learns faster so, and
        # shift and scale still begin at zero.
        _to_zero(self.modulation)
        for index in range(depth):
            nn.init.ones_(self.modulation.bias[(3 * index + 2) * width : (3 * index + 3) * width])
        _to_zero(self.output)

    def forward(self, x_BCHW: Tensor, t_B: Tensor, label_BL: Tensor | None = None) -> Tensor:
        """Return the output [B, C, H, W] at points `x_BCHW` and times `t_B` in [0, 1].

        `label_BL` says how each row was augmented; None, like zeros: not at all.

        Raises:
            ValueError: `x_BCHW` or `label_BL` has not the shape that the network was built for.
        """
        _require_shape(x_BCHW, self.shape)
        h_BW = self.embed(x_BCHW.flatten(1))
        modulation = self.modulation(functional.silu(self.time(t_B, label_BL)))
        *blocks, (shift, scale) = _split(modulation, len(self.expand), parts=3)
        for (shift1, scale1, gate), expand, contract in zip(
            blocks, self.expand, self.contract, strict=True
        ):
            hidden = functional.silu(expand(_modulate(h_BW, shift1, scale1)))
            h_BW = torch.addcmul(h_BW, gate, contract(hidden))
        return self.output(_modulate(h_BW, shift, scale)).unflatten(1, self.shape)


class TimeEmbedding(nn.Module):
    """Sines and cosines of t at geometrically spaced frequencies, then a perceptron: [B, W].

    An augmentation label adds a linear map of itself, without bias, so that zeros add nothing.
    """

    frequencies: Tensor

    def __init__(self, width: int, labels: int = 0):
        super().__init__()
        exponents = torch.linspace(0, 1, TIME_FREQUENCIES)
        self.register_buffer("frequencies", TIME_FASTEST**exponents, persistent=False)
        self.expand = nn.Linear(2 * TIME_FREQUENCIES, width)
        self.contract = nn.Linear(width, width)
        self.labels = labels
        self.label = nn.Parameter(torch.zeros(width, labels)) if labels else None

    def forward(self, t_B: Tensor, label_BL: Tensor | None = None) -> Tensor:
        """Return the embedding [B, W] of times `t_B` and augmentation labels `label_BL`."""
        angles_BF = t_B[:, None] * self.frequencies
        waves_BF = torch.cat([angles_BF.cos(), angles_BF.sin()], dim=1)
        h_BW = self.contract(functional.silu(self.expand(waves_BF)))
        if label_BL is None:
            return h_BW
        if self.label is None or label_BL.shape[1] != self.labels:
            raise ValueError(
                f"augmentation labels of {label_BL.shape[1]} numbers: this network was built for"
                f" {self.labels}; rerun `dvc repro initialize` and what follows it"
            )
        return h_BW + functional.linear(label_BL, self.label)


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


def _modulate(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return normalise(h) * (1 + scale) + shift over the last axis."""
    return torch.addcmul(shift, functional.layer_norm(h, h.shape[-1:], eps=1e-6), 1 + scale)


def _split(modulation: Tensor, depth: int, parts: int = 6) -> list[tuple[Tensor, ...]]:
    """Cut the last axis into `parts` pieces for each of `depth` blocks, then a pair."""
    pieces = modulation.chunk(parts * depth + 2, dim=-1)
    blocks = [pieces[start : start + parts] for start in range(0, parts * depth, parts)]
    return [*blocks, pieces[-2:]]


def _require_shape(x_BCHW: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(x_BCHW.shape[1:]) != shape:
        raise ValueError(
            f"latents of shape {' x '.join(map(str, x_BCHW.shape[1:]))}: this network was built"
            f" for {' x '.join(map(str, shape))}"
        )


def _to_zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
