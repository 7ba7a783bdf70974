"""LPIPS, the learned distance of images in AlexNet's features (Zhang et al. 2018, version 0.1).

Its weights are those of a file of the user's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from lirf.store import files

LAYERS = (  # index, channels in and out, kernel, stride, padding; and whether pooling comes before
    (0, 3, 64, 11, 4, 2, False),
    (3, 64, 192, 5, 1, 2, True),
    (6, 192, 384, 3, 1, 1, True),
    (8, 384, 256, 3, 1, 1, False),
    (10, 256, 256, 3, 1, 1, False),
)
"""AlexNet's convolutions, by their index among torchvision's `features`."""

MEAN, STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of red, green and blue in -1..1."""

LEAST_SIDE = 64
"""Smaller images are enlarged to this side, in px: the layers see little else of them."""


@dataclass(frozen=True)
class Lpips:
    """The distance; `hash` is that of its weights' file."""

    convolutions: tuple[nn.Conv2d, ...]
    shares: tuple[Tensor, ...]  # [C, 1, 1] of each layer's channels
    hash: str

    @torch.no_grad()
    def distances(self, a_NCHW: np.ndarray, b_NCHW: np.ndarray, batch: int) -> np.ndarray:
        """Return the distance of every pair of uint8 images, grey or RGB, float32 [N]."""
        found = [np.empty(0, np.float32)]
        for start in range(0, len(a_NCHW), batch):
            pair = (torch.tensor(one[start : start + batch]).float() for one in (a_NCHW, b_NCHW))
            signals = ((one / 127.5 - 1).to(self.shares[0].device) for one in pair)
            found.append(self.of_signals(*signals).cpu().numpy())
        return np.concatenate(found)

    def of_signals(self, a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
        """Return the distance of every pair of signals in -1..1, grey or RGB, [B]."""
        layers = zip(self._maps(a_BCHW), self._maps(b_BCHW), self.shares, strict=True)
        parts = [((a - b).square() * share).sum(dim=1).mean(dim=(1, 2)) for a, b, share in layers]
        return torch.stack(parts).sum(dim=0)

    def _maps(self, x_BCHW: Tensor) -> Iterator[Tensor]:
        """Return each layer's features, of unit length at every place."""
        mean, std = (x_BCHW.new_tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
        side = max(LEAST_SIDE, x_BCHW.shape[-1])
        x_BCHW = functional.interpolate(x_BCHW, (side, side), mode="bicubic", antialias=True)
        x_BCHW = (x_BCHW - mean) / std
        for convolution, (*_, pooled) in zip(self.convolutions, LAYERS, strict=True):
            x_BCHW = functional.max_pool2d(x_BCHW, 3, 2) if pooled else x_BCHW
            x_BCHW = functional.relu(convolution(x_BCHW))
            yield functional.normalize(x_BCHW, dim=1)


def load(file: str, device: torch.device) -> Lpips:
    """Read the weights: `features.N.*` of AlexNet, and `linK.model.1.weight` of the distance.

    Raises:
        ValueError: one line that says what is missing or wrong, and the remedy.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"autoencoder.lpips = {file}: no such file; set null to do without")
    try:
        weights = load_file(path)
        convolutions = []
        for index, taken, made, kernel, stride, padding, _ in LAYERS:
            one = nn.utils.skip_init(nn.Conv2d, taken, made, kernel, stride, padding)
            one.load_state_dict({k: weights[f"features.{index}.{k}"] for k in ("weight", "bias")})
            convolutions.append(one.to(device).requires_grad_(False))
        shares = [
            weights[f"lin{layer}.model.1.weight"].float().reshape(made, 1, 1).to(device)
            for layer, (_, _, made, *_) in enumerate(LAYERS)
        ]
    except (KeyError, RuntimeError, SafetensorError) as error:
        reason = files.plain(error)
        raise ValueError(
            f"autoencoder.lpips = {file}: not the weights of LPIPS with AlexNet ({reason}); take"
            " another file, or set null to do without"
        ) from None
    return Lpips(tuple(convolutions), tuple(shares), files.sha256(path))
