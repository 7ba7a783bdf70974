"""How images meet an autoencoder: enlarged and made RGB before it, shrunk and made grey after it.

Pretrained autoencoders lose detail that is finer than what they were trained on; images that are
enlarged first keep it. Lanczos of three lobes both ways, as Pillow's: a product with a matrix
along either axis, so that gradients are the same on every run, on a GPU too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """How many channels the images have, and how many times as large the autoencoder sees them."""

    channels: int
    enlarge: int = 1

    def into(self, x_BCHW: Tensor, taken: int) -> Tensor:
        """Return images as an autoencoder sees them that takes `taken` channels."""
        return resized(x_BCHW, self.enlarge).expand(-1, taken, -1, -1)

    def out_of(self, x_BCHW: Tensor) -> Tensor:
        """Return what an autoencoder made, as large as the images and with their channels."""
        return in_channels(resized(x_BCHW, 1 / self.enlarge), self.channels)


def resized(x_BCHW: Tensor, factor: float) -> Tensor:
    """Return square images `factor` times as large, fp32; at 1 they stay what they are."""
    side = x_BCHW.shape[-1]
    if factor == 1:
        return x_BCHW
    step = 1 / factor  # from one new pixel to the next
    centre_S = (torch.arange(round(side * factor)) + 0.5) * step - 0.5
    offset_Ss = (torch.arange(side) - centre_S[:, None]) / max(step, 1.0)
    weights_Ss = torch.sinc(offset_Ss) * torch.sinc(offset_Ss / 3) * (offset_Ss.abs() < 3)
    weights_Ss = (weights_Ss / weights_Ss.sum(dim=1, keepdim=True)).to(x_BCHW.device)
    return weights_Ss @ x_BCHW.float() @ weights_Ss.T


def in_channels(x_BCHW: Tensor, channels: int) -> Tensor:
    """Return images of so many channels: of RGB the luminance (ITU-R BT.601, as Pillow's)."""
    if x_BCHW.shape[1] == channels:
        return x_BCHW
    share = x_BCHW.new_tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    return (x_BCHW * share).sum(dim=1, keepdim=True)


def pixels_to_signal(images_NCHW: np.ndarray) -> Tensor:
    """Map uint8 0..255 to float32 -1..1."""
    assert images_NCHW.dtype == np.uint8, "pixels are uint8"
    return torch.tensor(images_NCHW).float() / 127.5 - 1


def signal_to_pixels(signal_NCHW: Tensor) -> np.ndarray:
    """Map float32 -1..1 to uint8 0..255: clipped, rounded to nearest.

    Raises:
        ValueError: a value is not finite, which would become a black pixel.
    """
    bad = (~signal_NCHW.isfinite()).nonzero()
    if len(bad):
        raise ValueError(
            f"decoded image {int(bad[0, 0])} of a batch is not finite: lower"
            " autoencoder.learning_rate and rerun `dvc repro`"
        )
    return ((signal_NCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
