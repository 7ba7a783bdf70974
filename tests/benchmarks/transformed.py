"""Whether samples are training images in disguise: `python tests/benchmarks/transformed.py`.

`evaluate` looks for memorised training images as they are or mirrored. A network that trains on
turned and shifted images might memorise those. Here any version counts: the images, mirrored ones,
views by `encode.augmentation`, and what the autoencoder makes of all. Held-out images in the place
of samples say how many count as memorised by chance. Reads a finished run and changes nothing.
"""
# ruff: noqa: T201

import argparse
from pathlib import Path

import numpy as np
from finished import ROOT, Finished

from lirf import params
from lirf.features import pixels
from lirf.images import transforms
from lirf.measure import evaluation, nearest
from lirf.sampling import sampler, seeds

NEIGHBOURS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--versions", type=int, default=100, help="random ones of every image")
    parser.add_argument("--samples", type=int, default=1000)
    options = parser.parse_args()
    run, numbers = Finished.read(options.data), params.load(ROOT / "params.yaml")
    moved = []
    for seed in seeds.seeds(1, "transformed", options.versions):
        generator = np.random.default_rng(seed)
        drawn = [transforms.draw(numbers.encode.augmentation, generator) for _ in run.train]
        moved.append(transforms.apply(run.train, drawn))
    plain = nearest.versions(run.train, run.again)
    both = [*plain, *moved, *map(run.again, moved)]
    noise = sampler.seeds(numbers.evaluate.seed, "evaluate", options.samples)
    scored = {"held-out images": run.heldout[: options.samples]}
    for name in ("baseline", "final"):
        drawn = run.model(name, numbers.sample).sample(noise)
        scored[name] = run.decode(np.concatenate([z_BCHW.numpy() for z_BCHW in drawn]))
    extract = pixels.extract
    print(f"| of | memorised | of any of {len(both)} versions |\n|---|---:|---:|")
    for name, images in scored.items():
        shares = []
        for known in (plain, both):
            known_VNF = np.stack([extract(version) for version in known])
            found, _ = evaluation.compare(
                extract(images), extract(run.heldout), known_VNF, NEIGHBOURS
            )
            shares.append(f"{found['memorised']:.3f}")
        print(f"| {name} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
