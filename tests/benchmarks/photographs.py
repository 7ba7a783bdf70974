"""The images of a folder, as the benchmarks of photographs read them."""

from pathlib import Path

import numpy as np

from lirf.images import decode, folder
from lirf.params import Prepare


def read(images: Path, resolution: int, split: str, most: int | None = None) -> np.ndarray:
    """Return the first images [N, 3, resolution, resolution] uint8 of `train` or `heldout`."""
    prepare = Prepare(
        images=str(images), resolution=resolution, colour="rgb", flip=False,
        on_bad_image="fail", max_megapixels=100,
    )  # fmt: skip
    files = [file for file in folder.find(images)[0] if file.split == split][:most]
    return np.stack([decode.load(file.path, prepare).pixels for file in files])
