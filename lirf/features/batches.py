"""Images through a frozen network, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

BATCH = 16
"""Images at a time: part of what the last bits of features depend on. More leave a CPU's cache."""


@torch.no_grad()
def extract(
    see: Callable[[Tensor], Tensor], images_NCHW: np.ndarray, device: torch.device
) -> np.ndarray:
    """Return what `see` makes of uint8 images as three channels, [B, 3, H, W]; float64 [N, F].

    A batch that is not full is filled up with its first image: how many images there are changes
    no bit of the others' features.
    """
    found = []
    for start in range(0, len(images_NCHW), BATCH):
        some_BCHW = torch.tensor(images_NCHW[start : start + BATCH])
        count = len(some_BCHW)
        filled_BCHW = torch.cat([some_BCHW, some_BCHW[:1].expand(BATCH - count, -1, -1, -1)])
        seen_BF = see(filled_BCHW.to(device).expand(-1, 3, -1, -1))
        found.append(seen_BF[:count].cpu().numpy().astype(np.float64))
    return np.concatenate(found)
