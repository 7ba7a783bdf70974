"""Patches as a frozen vision transformer of timm's sees them.

Its weights are those of a file of the user's or of the hub's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

from lirf import params
from lirf.store import files, hub

FILE = "model.safetensors"
"""What the hub's models of timm call their weights."""

UNREADABLE = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
    SafetensorError,
)
"""What timm raises at a model without patches, and at weights that are not right."""


@dataclass(frozen=True)
class Vision:
    """A frozen vision transformer; `hash` is that of its weights' file, `side` of its input, px."""

    model: Any  # timm's; its classes have no annotations
    hash: str
    side: int
    width: int

    def patches(self, x_BCHW: Tensor) -> Tensor:
        """Return the features [B, F, h, w] of the patches of signals in -1..1, grey or RGB."""
        x_B3HW = x_BCHW.float().expand(-1, 3, -1, -1)
        x_B3SS = functional.interpolate(
            x_B3HW, (self.side, self.side), mode="bicubic", antialias=True
        )
        cfg = self.model.pretrained_cfg
        mean, std = (x_B3SS.new_tensor(cfg[key]).reshape(3, 1, 1) for key in ("mean", "std"))
        tokens_BTF = self.model.forward_features(((x_B3SS + 1) / 2 - mean) / std)
        places_BPF = tokens_BTF[:, self.model.num_prefix_tokens :]
        grid = round(places_BPF.shape[1] ** 0.5)
        return places_BPF.transpose(1, 2).reshape(len(x_BCHW), self.width, grid, grid)

    @torch.no_grad()
    def means(self, images_NCHW: np.ndarray, batch: int) -> np.ndarray:
        """Return the mean patch of uint8 images, of unit length, float64 [N, F]; by batches."""
        device = next(self.model.parameters()).device
        found = [np.empty((0, self.width))]
        for start in range(0, len(images_NCHW), batch):
            signal = torch.tensor(images_NCHW[start : start + batch]).float() / 127.5 - 1
            mean_BF = self.patches(signal.to(device)).mean(dim=(2, 3))
            found.append(functional.normalize(mean_BF).cpu().numpy().astype(np.float64))
        return np.concatenate(found)


def load(config: params.Vision, download: bool, device: torch.device) -> Vision:
    """Return timm's `config.model` with its weights, in evaluation mode, without gradients.

    Raises:
        ValueError: one line that says which file to put where, or what is wrong with it.
    """
    import timm  # noqa: PLC0415 - takes ten seconds to load, and only who needs it shall wait

    path = find(config, download)
    try:
        model: Any = timm.create_model(
            config.model,
            pretrained=True,
            pretrained_cfg_overlay={"file": str(path), "source": "", "custom_load": False},
            num_classes=0,
            dynamic_img_size=True,
        )
        patch = max(model.patch_embed.patch_size)
        width = model.num_features
        _ = model.num_prefix_tokens
    except UNREADABLE as error:
        raise ValueError(
            f"autoencoder.vision: {path} does not make a vision transformer {config.model}"
            f" ({str(error).partition(chr(10))[0]}); name a ViT of timm's and its safetensors file"
        ) from None
    if config.resolution % patch:
        raise ValueError(
            f"autoencoder.vision.resolution = {config.resolution}: must be a multiple of {patch},"
            f" the patch of {config.model}"
        )
    model.to(device).eval().requires_grad_(False)
    return Vision(model, files.sha256(path), config.resolution, width)


def find(config: params.Vision, download: bool) -> Path:
    """Return the file of the weights.

    Raises:
        ValueError: one line that says which file to put where.
    """
    import timm  # noqa: PLC0415

    if config.weights is not None:
        path = Path(config.weights).expanduser()
        if not path.is_file() or path.suffix != ".safetensors":
            raise ValueError(
                f"autoencoder.vision.weights = {config.weights}: no such file, or not safetensors;"
                f" put {FILE} of timm's {config.model} there"
            )
        return path
    known = timm.get_pretrained_cfg(config.model)
    if known is None or not known.hf_hub_id:
        raise ValueError(
            f"autoencoder.vision.model = {config.model}: timm knows no weights of it; name a file"
            " in autoencoder.vision.weights"
        )
    identifier = known.hf_hub_id
    try:
        path = hub.snapshot(identifier, [FILE], download) / FILE
        if not path.is_file():
            raise ValueError(f"{identifier}: no {FILE} in the hub's cache")
    except ValueError as error:
        raise ValueError(
            f"autoencoder.vision: {error}; put its {FILE} anywhere and name it in"
            f" autoencoder.vision.weights{hub.or_fetch(identifier, download)}"
        ) from None
    return path
