"""Random shifts of training images, the same for both images of a pair."""

from __future__ import annotations

import torch


def shifted_pairs(x_BCHW: torch.Tensor, reach: int, generator: torch.Generator) -> torch.Tensor:
    """Move images by up to `reach` px along each axis; what comes into view repeats the edge.

    Image i and image B/2 + i are a pair and move alike, so that they stay as near as they were.
    """
    pairs = len(x_BCHW) // 2
    *_, height, width = x_BCHW.shape
    padded_BCHW = torch.nn.functional.pad(x_BCHW, (reach,) * 4, mode="replicate")
    corners = torch.randint(2 * reach + 1, (pairs, 2), generator=generator).tolist()
    return torch.stack(
        [
            image_CHW[:, top : top + height, left : left + width]
            for image_CHW, (top, left) in zip(padded_BCHW, corners * 2, strict=True)
        ]
    )
