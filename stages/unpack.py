"""Write an image set that ships inside a dependency as a folder of PNG files."""

from __future__ import annotations

from PIL import Image

from lirf.images import bundled
from lirf.params import Params
from stages.support import command
from stages.support.command import Out


def unpack(params: Params, dataset: str, images: Out) -> None:  # noqa: ARG001 - every stage has it
    """Write the bundled image set `dataset` to the folder `images`.

    Training images go to `train/`, held-out ones, where there are any, to `heldout/`.

    Raises:
        ValueError: there is no such dataset.
    """
    if dataset not in bundled.DATASETS:
        known = ", ".join(bundled.DATASETS)
        raise ValueError(f"--dataset {dataset}: no such bundled image set; there are {known}")
    images.mkdir()
    for name, split, pixels in bundled.DATASETS[dataset]():
        (images / split).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(images / split / f"{name}.png")


if __name__ == "__main__":
    command.run(unpack)
