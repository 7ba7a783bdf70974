"""Which changed training images are called memorised: `python tests/benchmarks/near.py FOLDER`.

FOLDER holds the training images, its `heldout/` others. In features of ImageNet a limit of a third
is held against the one that the training images give (`lirf.measure.memorised.calibrate`).
"""
# ruff: noqa: T201

import argparse
import math
from pathlib import Path

import numpy as np
import photographs
import torch

from lirf.features import features
from lirf.images import transforms
from lirf.images.transforms import Transform
from lirf.measure import memorised

HELDOUT = 500
NOISE, SHIFT, TURN, ZOOM = 4, 1 / 32, 8, 0.2  # of 255, of the side, in degrees, of two


def changed(train_NCHW: np.ndarray) -> dict[str, np.ndarray]:
    noise_NCHW = np.random.default_rng(0).normal(0, NOISE, train_NCHW.shape)
    ways = {
        f"shifted by {SHIFT:.3f} of the side": Transform(shift=(SHIFT, 0)),
        f"turned by {TURN} degrees": Transform(rotation=math.radians(TURN)),
        f"magnified {2**ZOOM:.2f} times": Transform(scale=ZOOM),
    }
    moved = {
        name: transforms.apply(train_NCHW, [way] * len(train_NCHW)) for name, way in ways.items()
    }
    others_NCHW = np.roll(train_NCHW, 1, axis=0)
    return {
        f"noise of {NOISE}": (train_NCHW + noise_NCHW).clip(0, 255).round().astype(np.uint8),
        **moved,
        "the mean of two": np.stack([train_NCHW, others_NCHW]).mean(axis=0).astype(np.uint8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--resolution", type=int, default=64)
    options = parser.parse_args()
    train_NCHW = photographs.read(options.images, options.resolution, "train")
    heldout_NCHW = photographs.read(options.images, options.resolution, "heldout", HELDOUT)
    extract = features.of("imagenet", device=torch.device("cpu")).extract
    train_VNF = np.stack([extract(train_NCHW), extract(transforms.mirror(train_NCHW))])
    limit = memorised.calibrate(train_VNF)
    shown = {"held-out images": heldout_NCHW, **changed(train_NCHW)}
    print(f"| | below a third | below {limit:.2f}, of the training images |\n|---|---:|---:|")
    for name, images_NCHW in shown.items():
        ratio_N = memorised.find_memorised(extract(images_NCHW), train_VNF).ratio
        below = (f"{(ratio_N < most).mean():.2f}" for most in (memorised.MEMORISED_RATIO, limit))
        print(f"| {name} | {' | '.join(below)} |", flush=True)


if __name__ == "__main__":
    main()
