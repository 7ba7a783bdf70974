"""The decoder of a saved autoencoder alone, in plain torch: drawing does not wait for diffusers.

Importing diffusers takes longer than drawing. What is here has diffusers' names of weights and
gives the same images to the bit; kinds that are not here are read through diffusers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from lirf.autoencoder.frame import Frame, signal_to_pixels
from lirf.autoencoder.layout import CONFIG, WEIGHTS, check
from lirf.store import files
from lirf.store.space import Space

EPSILON = 1e-6  # of every norm
MANY, MOST_NUMBERS = 64, 2**31
PARTS = ("decoder.", "post_quant_conv.")
"""What the names of those weights begin with that decoding takes."""


@dataclass(frozen=True)
class Decoder:
    """From latents to images: the network, how images meet it, the name of its latent space."""

    network: Callable[[Tensor], Tensor]  # raw latents [B, C, H, W] to images, about -1..1
    frame: Frame
    fingerprint: str

    @torch.no_grad()
    def images(
        self, z_NCHW: np.ndarray, space: Space, batch: int, device: torch.device
    ) -> np.ndarray:
        """Return the uint8 images of scaled latents of `space`, `batch` at a time."""
        parts = (z_NCHW[start : start + batch] for start in range(0, len(z_NCHW), batch))
        made = (self.network(torch.tensor(space.unscale(part)).to(device)) for part in parts)
        return np.concatenate([signal_to_pixels(self.frame.out_of(one)) for one in made])


def load(folder: Path, device: torch.device) -> Decoder:
    """Read the decoder of an autoencoder that `lirf.autoencoder.model.save` wrote.

    Raises:
        ValueError: a file is missing, damaged, or is not the one that was saved.
    """
    fingerprint, frame = check(folder)
    config = files.read_json(folder / CONFIG)
    if (network := _plain(config)) is None:
        return _of_diffusers(folder, device)
    try:
        weights = load_file(folder / WEIGHTS)
        network.load_state_dict({k: one for k, one in weights.items() if k.startswith(PARTS)})
        framed = Frame(**(frame or {"channels": config["out_channels"]}))
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{folder}: not a decoder that can be read ({error})") from None
    # Weights keep asking for gradients, as diffusers' do: by that torch chooses how to multiply.
    return Decoder(network.to(device).eval(), framed, fingerprint)


def _of_diffusers(folder: Path, device: torch.device) -> Decoder:
    """Read it through diffusers."""
    from lirf.autoencoder import kinds, model  # noqa: PLC0415 - seconds to load

    whole = model.load(folder, device)
    return Decoder(lambda z: kinds.decoded(whole.model, z)[0], whole.frame, whole.fingerprint)


def _plain(config: Mapping[str, Any]) -> nn.Module | None:
    """Return the untrained decoder of a configuration of diffusers; None for other kinds."""
    match config:
        case {
            "_class_name": "AutoencoderKL", "act_fn": "silu", "up_block_types": blocks,
            "latent_channels": latents, "out_channels": channels, "block_out_channels": widths,
            "layers_per_block": depth, "norm_num_groups": groups,
            "mid_block_add_attention": attends, "use_post_quant_conv": mixes,
        } if set(blocks) == {"UpDecoderBlock2D"}:  # fmt: skip
            return KL(latents, channels, widths, depth, groups, attends, mixes)
        case {
            "_class_name": "AutoencoderTiny", "act_fn": "relu", "upsample_fn": "nearest",
            "latent_channels": latents, "out_channels": channels,
            "decoder_block_out_channels": widths, "num_decoder_blocks": depths,
            "upsampling_scaling_factor": factor,
        }:  # fmt: skip
            return Tiny(latents, channels, widths, depths, factor)
        case _:
            return None


class KL(nn.Module):
    """What AutoencoderKL decodes with: residual blocks, and attention on the coarsest grid."""

    def __init__(
        self,
        latents: int,
        channels: int,
        widths: list[int],
        depth: int,
        groups: int,
        attends: bool,
        mixes: bool,
    ):
        super().__init__()
        self.post_quant_conv = nn.Conv2d(latents, latents, 1) if mixes else nn.Identity()
        self.decoder = nn.Module()
        self.decoder.conv_in = _conv(latents, widths[-1])
        middle = self.decoder.mid_block = nn.Module()
        middle.resnets = nn.ModuleList(Residual(widths[-1], widths[-1], groups) for _ in range(2))
        middle.attentions = nn.ModuleList([Attention(widths[-1], groups)] if attends else [])
        taken = [widths[-1], *reversed(widths)]
        self.decoder.up_blocks = nn.ModuleList(
            Level(before, width, depth + 1, groups, level < len(widths) - 1)
            for level, (before, width) in enumerate(zip(taken, reversed(widths), strict=False))
        )
        self.decoder.conv_norm_out = nn.GroupNorm(groups, widths[0], EPSILON)
        self.decoder.conv_out = _conv(widths[0], channels)

    def forward(self, z_BCHW: Tensor) -> Tensor:
        """Return images, about -1..1, of raw latents."""
        part: Any = self.decoder
        x_BCHW = part.conv_in(self.post_quant_conv(z_BCHW))
        first, second = part.mid_block.resnets
        for layer in (first, *part.mid_block.attentions, second, *part.up_blocks):
            x_BCHW = layer(x_BCHW)
        return part.conv_out(functional.silu(part.conv_norm_out(x_BCHW)))


class Level(nn.Module):
    """The residual blocks of one grid, and the way to the next finer one."""

    def __init__(self, taken: int, width: int, depth: int, groups: int, grows: bool):
        super().__init__()
        self.resnets = nn.ModuleList(
            Residual(width if block else taken, width, groups) for block in range(depth)
        )
        self.upsamplers = nn.ModuleList([Twice(width)] if grows else [])

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the finer grid, or the same where it is the last."""
        for layer in (*self.resnets, *self.upsamplers):
            x_BCHW = layer(x_BCHW)
        return x_BCHW


class Residual(nn.Module):
    """Two convolutions, each after a norm, beside a shortcut."""

    def __init__(self, taken: int, width: int, groups: int):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, taken, EPSILON), _conv(taken, width)
        self.norm2, self.conv2 = nn.GroupNorm(groups, width, EPSILON), _conv(width, width)
        self.conv_shortcut = nn.Identity() if taken == width else nn.Conv2d(taken, width, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the grid with `width` channels."""
        h_BCHW = self.conv1(functional.silu(self.norm1(x_BCHW)))
        h_BCHW = self.conv2(functional.silu(self.norm2(h_BCHW)))
        return self.conv_shortcut(x_BCHW) + h_BCHW


class Attention(nn.Module):
    """One head of attention between all places of a grid."""

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, EPSILON)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the grid with what every place has seen."""
        places_BPC = self.group_norm(x_BCHW.flatten(2)).transpose(1, 2)
        query, key, value = (
            to(places_BPC).unsqueeze(1) for to in (self.to_q, self.to_k, self.to_v)
        )
        seen_BPC = functional.scaled_dot_product_attention(query, key, value).squeeze(1)
        return self.to_out[0](seen_BPC).transpose(1, 2).reshape(x_BCHW.shape) + x_BCHW


class Twice(nn.Module):
    """A grid of half the spacing."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = _conv(width, width)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the grid at twice the side."""
        if len(x_BCHW) >= MANY or 2 * x_BCHW.numel() > MOST_NUMBERS:
            x_BCHW = x_BCHW.contiguous()  # as diffusers does, whose sums are rounded so
        return self.conv(functional.interpolate(x_BCHW, scale_factor=2.0, mode="nearest"))


class Tiny(nn.Module):
    """What AutoencoderTiny decodes with: short residual blocks without norms."""

    def __init__(
        self, latents: int, channels: int, widths: list[int], depths: list[int], factor: int
    ):
        super().__init__()
        layers: list[nn.Module] = [_conv(latents, widths[0]), nn.ReLU()]
        for width, depth in zip(widths[:-1], depths[:-1], strict=True):
            layers += [Short(width) for _ in range(depth)]
            layers += [nn.Upsample(scale_factor=factor), _conv(width, width, bias=False)]
        layers += [Short(widths[-1]) for _ in range(depths[-1])]
        self.decoder = nn.Module()
        self.decoder.layers = nn.Sequential(*layers, _conv(widths[-1], channels))

    def forward(self, z_BCHW: Tensor) -> Tensor:
        """Return images, about -1..1, of raw latents."""
        part: Any = self.decoder
        return part.layers(torch.tanh(z_BCHW / 3) * 3).mul(2).sub(1)


class Short(nn.Module):
    """Three convolutions beside a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Sequential(
            _conv(width, width), nn.ReLU(), _conv(width, width), nn.ReLU(), _conv(width, width)
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the grid."""
        return functional.relu(self.conv(x_BCHW) + x_BCHW)


def _conv(taken: int, made: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(taken, made, 3, padding=1, bias=bias)
