"""What near-duplicates in the training set hide: `python tests/benchmarks/duplicates.py FOLDER`.

FOLDER holds the training images, its `heldout/` others. Training images with noise on them stand
for memorised samples. Beside the training images lie copies of them: of how many samples is each
found to be memorised, by nearest over second nearest and by the rule of `lirf.measure.duplicates`?
"""
# ruff: noqa: T201

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import photographs
import torch
from PIL import Image

from lirf.features import features, pixels
from lirf.images.transforms import mirror
from lirf.measure.duplicates import near_duplicates
from lirf.measure.memorised import MEMORISED_RATIO, calibrate, find_memorised

HELDOUT = 500
NOISE = 8  # of 255
Change = Callable[[Image.Image], Image.Image]


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75)
    return Image.open(file)


def resized(image: Image.Image) -> Image.Image:
    small = image.resize((3 * image.width // 4, 3 * image.height // 4), Image.Resampling.LANCZOS)
    return small.resize(image.size, Image.Resampling.LANCZOS)


def darker(image: Image.Image) -> Image.Image:
    return Image.fromarray((0.9 * np.asarray(image)).round().astype(np.uint8))


def moved(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.roll(np.asarray(image), 1, axis=1))


def changed(images_NCHW: np.ndarray, change: Change) -> np.ndarray:
    done = [
        np.asarray(change(Image.fromarray(one_CHW.transpose(1, 2, 0)))) for one_CHW in images_NCHW
    ]
    return np.stack(done).transpose(0, 3, 1, 2)


COPIES: dict[str, tuple[float, tuple[Change, ...]]] = {
    "none": (1, ()),
    "JPEG of each": (1, (jpeg,)),
    "JPEG of every other": (1 / 2, (jpeg,)),
    "JPEG of every tenth": (1 / 10, (jpeg,)),
    "3/4 of the size and back": (1, (resized,)),
    "a tenth darker": (1, (darker,)),
    "one pixel to the right": (1, (moved,)),
    "JPEG, resized and darker": (1, (jpeg, resized, darker)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--features", choices=("pixels", "imagenet"), default="pixels")
    options = parser.parse_args()
    train_NCHW = photographs.read(options.images, options.resolution, "train")
    heldout_NCHW = photographs.read(options.images, options.resolution, "heldout", HELDOUT)
    noise_NCHW = np.random.default_rng(0).normal(0, NOISE, train_NCHW.shape)
    noisy_NCHW = (train_NCHW + noise_NCHW).clip(0, 255).round().astype(np.uint8)
    space = features.of(options.features, device=torch.device("cpu"))
    noisy_NF, heldout_MF = space.extract(noisy_NCHW), space.extract(heldout_NCHW)
    print("| added | limits | found, plain rule | found | held-out, plain rule | held-out |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, (share, changes) in COPIES.items():
        some_NCHW = train_NCHW[:: round(1 / share)]
        all_NCHW = np.concatenate([train_NCHW, *(changed(some_NCHW, how) for how in changes)])
        known = [all_NCHW, mirror(all_NCHW)]
        train_VNF = np.stack([space.extract(one) for one in known])
        alike_NL = near_duplicates(np.stack([pixels.extract(one) for one in known]))
        alike_NL = np.concatenate([near_duplicates(train_VNF), alike_NL], axis=1)
        limits, shares = [], []
        for alike in (np.empty((len(all_NCHW), 0), np.int64), alike_NL):
            limit = calibrate(train_VNF, alike) if space.network else MEMORISED_RATIO
            limits.append(f"{limit:.2f}")
            shares.append(
                [
                    find_memorised(x, train_VNF, limit, 2, alike).share
                    for x in (noisy_NF, heldout_MF)
                ]
            )
        numbers = " | ".join(f"{share:.3g}" for pair in zip(*shares, strict=True) for share in pair)
        print(f"| {name} | {', '.join(limits)} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
