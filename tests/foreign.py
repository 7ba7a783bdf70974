"""Weights as others would make them, never trained: autoencoders of every kind, and LPIPS."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from lirf.autoencoder import kinds

NAMES = sorted(kinds.KINDS)


def make(
    name: str = "AutoencoderKL", channels: int = 3, latent: int = 4, levels: int = 2
) -> kinds.Model:
    """Return a tiny one; its latents are 2^(levels - 1) times smaller than its images."""
    widths: tuple[int, ...] = (8,) * levels
    blocks: tuple[int, ...] = (1,) * levels
    ends = ("encoder", "decoder")
    of_kl = {
        "in_channels": channels,
        "out_channels": channels,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "block_out_channels": widths,
        "norm_num_groups": 4,
    }
    shapes: dict[str, dict[str, Any]] = {
        "AutoencoderKL": of_kl,
        "VQModel": {**of_kl, "num_vq_embeddings": 16},
        "AutoencoderTiny": {
            "in_channels": channels,
            "out_channels": channels,
            **{f"{end}_block_out_channels": widths for end in ends},
            **{f"num_{end}_blocks": blocks for end in ends},
        },
        "AutoencoderDC": {
            "in_channels": channels,
            "attention_head_dim": 4,
            **{f"{end}_block_out_channels": widths for end in ends},
            **{f"{end}_layers_per_block": blocks for end in ends},
            **{f"{end}_qkv_multiscales": ((),) * levels for end in ends},
        },
    }
    torch.manual_seed(0)
    cls: Any = kinds.KINDS[name].cls
    model = cls(latent_channels=latent, **shapes[name])
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return model.eval()


def pictures(channels: int, side: int = 16, count: int = 3) -> np.ndarray:
    """Return random images, uint8."""
    return np.random.default_rng(0).integers(0, 256, (count, channels, side, side), np.uint8)


@torch.no_grad()
def round_trip(model: Any, x_NCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the latents and the images that diffusers alone makes of signals in -1..1."""
    found = model.encode(x_NCHW)
    if "latent_dist" in found:
        z_NCHW = found.latent_dist.mean
    else:
        (z_NCHW,) = found.values()
    return z_NCHW, model.decode(z_NCHW).sample


def save_lpips(path: Path) -> Path:
    """Write weights in the shape of LPIPS with AlexNet."""
    from torchvision.models import alexnet

    with torch.random.fork_rng():
        torch.manual_seed(0)
        features = alexnet().features.state_dict()
        heads = {
            f"lin{layer}.model.1.weight": torch.rand(1, width, 1, 1)
            for layer, width in enumerate((64, 192, 384, 256, 256))
        }
    save_file({f"features.{name}": one for name, one in features.items()} | heads, path)
    return path
