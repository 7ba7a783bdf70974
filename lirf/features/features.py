"""The space in which images are compared: pixels, edges, latents, or patches of a transformer.

The transformer is frozen, and its weights are those of a file of the user's or of the hub's cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from skimage.feature import hog
from torch import Tensor
from torch.nn import functional

from lirf import params
from lirf.store import files, hub

FILE = "model.safetensors"
"""What the hub's models of timm call their weights."""

ORIENTATIONS, CELLS, BLOCK = 8, 8, 2
"""Of the histograms of gradients: directions, cells along a side, cells normalised together."""

LEAST_CELL = 2
"""Least side of a cell, in px."""

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


def vision(config: params.Vision, download: bool, device: torch.device) -> Vision:
    """Return timm's `config.model` with its weights, in evaluation mode, without gradients.

    Raises:
        ValueError: one line that says which file to put where, or what is wrong with it.
    """
    import timm  # noqa: PLC0415 - takes ten seconds to load, and only who needs it shall wait

    path = _weights(config, download)
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


def _weights(config: params.Vision, download: bool) -> Path:
    """Return the file of the weights."""
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


@dataclass(frozen=True)
class Features:
    """A map from images, uint8 NCHW, to features, float64 [N, F].

    `name` and `hash` go into the protocol of every comparison; `hash` is the fingerprint of the
    weights behind the features, or None where there are none.
    """

    name: str
    hash: str | None
    extract: Callable[[np.ndarray], np.ndarray]


def pixels() -> Features:
    """Return the pixel values themselves, in [0, 1]."""
    return Features("pixels", None, _flat_pixels)


def edges() -> Features:
    """Return histograms of oriented gradients, which see shapes and forgive shading.

    (Dalal and Triggs 2005, as in scikit-image.) CELLS x CELLS cells, fewer in images below 16 px.
    """
    return Features("edges", None, _edges)


def patches(seer: Vision, batch: int) -> Features:
    """Return the mean feature of an image's patches, of unit length; `batch` images at a time."""

    @torch.no_grad()
    def extract(images_NCHW: np.ndarray) -> np.ndarray:
        device = next(seer.model.parameters()).device
        found = []
        for start in range(0, len(images_NCHW), batch):
            signal = torch.tensor(images_NCHW[start : start + batch]).float() / 127.5 - 1
            mean_BF = seer.patches(signal.to(device)).mean(dim=(2, 3))
            found.append(functional.normalize(mean_BF).cpu().numpy().astype(np.float64))
        return np.concatenate(found) if found else np.empty((0, seer.width))

    return Features("patches", seer.hash, extract)


def latents(fingerprint: str, encode: Callable[[np.ndarray], np.ndarray]) -> Features:
    """Return the scaled latents that `encode` makes of uint8 images, flattened.

    `fingerprint` is the autoencoder's.
    """

    def extract(images_NCHW: np.ndarray) -> np.ndarray:
        return _flat(encode(images_NCHW))

    return Features("latents", fingerprint, extract)


def mirror(images_NCHW: np.ndarray) -> np.ndarray:
    """Return the images with left and right exchanged."""
    return np.ascontiguousarray(images_NCHW[..., ::-1])


def _flat_pixels(images_NCHW: np.ndarray) -> np.ndarray:
    if images_NCHW.dtype != np.uint8:
        raise ValueError(f"images must be uint8, got {images_NCHW.dtype}")
    return _flat(images_NCHW) / 255


def _edges(images_NCHW: np.ndarray) -> np.ndarray:
    side = images_NCHW.shape[-1]
    cell = max(LEAST_CELL, side // CELLS)
    block = min(BLOCK, side // cell)
    rows = [
        hog(image_CHW, ORIENTATIONS, (cell, cell), (block, block), channel_axis=0)
        for image_CHW in images_NCHW
    ]
    return np.stack(rows).astype(np.float64)


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).astype(np.float64)
