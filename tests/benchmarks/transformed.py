"""Whether samples are training images in disguise: `python tests/benchmarks/transformed.py`.

`evaluate` calls a sample a copy of a training image as it is or mirrored. A network that trains on
turned and shifted images might copy those. Here a copy is one of any version: the images, mirrored
ones, those of `encode.augmentation`, and what the autoencoder makes of all. Held-out images in the
place of samples say how many count as copies by chance. Reads a finished run and changes nothing.
"""
# ruff: noqa: T201

import argparse
from pathlib import Path

import numpy as np
import torch

from lirf import augmentation, metrics, nearest, params, sampler, seeds, store
from lirf import autoencoder as autoencoding
from lirf.features import pixels
from stages import drawing

ROOT = Path(__file__).parents[2]
CPU, BATCH, NEIGHBOURS = torch.device("cpu"), 256, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--versions", type=int, default=100, help="random ones of every image")
    parser.add_argument("--samples", type=int, default=1000)
    options = parser.parse_args()
    data, numbers = options.data, params.load(ROOT / "params.yaml")
    part, space = store.read_part(data / "images"), store.read_register(data / "r00/bank").space
    split, flip = (np.array(part.rows[name].to_pylist()) for name in ("split", "flip"))
    train = part.array[(split == "train") & ~flip.astype(bool)]
    heldout = part.array[split == "heldout"]
    decoder = autoencoding.load(data / "autoencoder", CPU)

    def again(images_NCHW: np.ndarray) -> np.ndarray:
        z_NCHW = space.scale(autoencoding.encode(decoder, images_NCHW, BATCH, CPU))
        return autoencoding.decode(decoder, z_NCHW, space, BATCH, CPU)

    moved = []
    for seed in seeds.seeds(1, "transformed", options.versions):
        generator = np.random.default_rng(seed)
        drawn = [augmentation.draw(numbers.encode.augmentation, generator) for _ in train]
        moved.append(augmentation.apply(train, drawn))
    plain = nearest.versions(train, again)
    both = [*plain, *moved, *map(again, moved)]
    scored = {"held-out images": heldout[: options.samples]}
    for run in ("baseline", "final"):
        made = drawing.load(data / run / "weights", numbers.sample, CPU)
        drawn_seeds = sampler.seeds(numbers.evaluate.seed, "evaluate", options.samples)
        z_MCHW = np.concatenate([z_BCHW.numpy() for z_BCHW in made.sample(drawn_seeds)])
        scored[run] = autoencoding.decode(decoder, z_MCHW, space, BATCH, CPU)
    extract = pixels().extract
    print(f"| of | copies | copies of any of {len(both)} versions |\n|---|---:|---:|")
    for name, images in scored.items():
        shares = []
        for known in (plain, both):
            known_VNF = np.stack([extract(version) for version in known])
            found, _ = metrics.compare(extract(images), extract(heldout), known_VNF, NEIGHBOURS)
            shares.append(f"{found['copies']:.3f}")
        print(f"| {name} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
