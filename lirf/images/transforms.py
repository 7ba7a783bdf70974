"""Augmentation: random shifts of pairs, and random versions of images with what was done to them.

A version's label has a number for each of `LABELS`, all zero for an image as it is, and no two
different transforms have the same label. A network that is told it keeps augmentation out of its
samples (EDM, arXiv 2206.00364, appendix F.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lirf import params

LABELS = (
    "flip",
    "shift_x",
    "shift_y",
    "rotation_cos",
    "rotation_sin",
    "scale",
    "stretch_cos",
    "stretch_sin",
)


@dataclass(frozen=True)
class Transform:
    """What is done to an image about its centre, in this order.

    Attributes:
        flip: mirrored left to right.
        stretch: log2 of the factor along an axis, with its inverse across it: the area stays.
        axis: angle of that axis, radians clockwise from the horizontal.
        scale: log2 of the magnification.
        rotation: radians, clockwise.
        shift: to the right and down, shares of the side.
    """

    flip: bool = False
    stretch: float = 0.0
    axis: float = 0.0
    scale: float = 0.0
    rotation: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    def label(self) -> tuple[float, ...]:
        """Return the numbers of `LABELS`.

        The angle of an axis counts twice: an axis turned by half a turn is the same axis, and one
        turned by a quarter turn, with the opposite stretch, is the same transform.
        """
        return (
            float(self.flip),
            *self.shift,
            math.cos(self.rotation) - 1,
            math.sin(self.rotation),
            self.scale,
            self.stretch * math.cos(2 * self.axis),
            self.stretch * math.sin(2 * self.axis),
        )

    def inverse(self) -> np.ndarray:
        """Return the affine map [2, 3] from places in the version to places in the image.

        Places are (x, y) from -1 to 1 over the side.
        """
        turn, lean = _rotation(-self.rotation), _rotation(self.axis)
        squeeze = lean @ np.diag([2.0**-self.stretch, 2.0**self.stretch]) @ lean.T
        linear = squeeze @ turn * 2.0**-self.scale
        if self.flip:
            linear = np.diag([-1.0, 1.0]) @ linear
        return np.column_stack([linear, linear @ (-2 * np.array(self.shift))])


def draw(config: params.Augmentation, generator: np.random.Generator) -> Transform:
    """Draw a transform: EDM's strengths by name, all at once.

    Shift, scale and stretch are normal with the standard deviations of `config`, the rotation is
    uniform up to that of `config` in degrees, either way. Every number is drawn whatever the
    others' strengths.
    """
    mirrored, turn, axis = generator.random(3).tolist()
    right, down, scale, stretch = generator.standard_normal(4).tolist()
    return Transform(
        flip=config.flip and mirrored < 0.5,
        stretch=config.anisotropy * stretch,
        axis=math.pi * axis,
        scale=config.scale * scale,
        rotation=math.radians(config.rotation) * (2 * turn - 1),
        shift=(config.shift * right, config.shift * down),
    )


def apply(images_NCHW: np.ndarray, transforms_N: Sequence[Transform]) -> np.ndarray:
    """Return uint8 versions of square uint8 images, each under its own transform.

    Bicubic, as fewer pixels bear less blur; what comes into view is the image's reflection.
    """
    assert images_NCHW.dtype == np.uint8, "pixels are uint8"
    assert images_NCHW.shape[2] == images_NCHW.shape[3], "images are square"
    assert len(images_NCHW) == len(transforms_N), "a transform an image"
    if not len(images_NCHW):
        return images_NCHW
    maps_N23 = torch.tensor(np.stack([one.inverse() for one in transforms_N]), dtype=torch.float32)
    places = torch.nn.functional.affine_grid(maps_N23, list(images_NCHW.shape), align_corners=False)
    x_NCHW = torch.nn.functional.grid_sample(
        torch.tensor(images_NCHW).float(),
        places,
        mode="bicubic",
        padding_mode="reflection",
        align_corners=False,
    )
    return x_NCHW.round().clamp(0, 255).to(torch.uint8).numpy()


def _rotation(angle: float) -> np.ndarray:
    """Return the rotation [2, 2] by `angle`, clockwise since y points down."""
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


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


def mirror(images_NCHW: np.ndarray) -> np.ndarray:
    """Return the images with left and right exchanged."""
    return np.ascontiguousarray(images_NCHW[..., ::-1])
