"""Whether a feature space takes what is real for real: `python tests/benchmarks/features.py`.

Half of the held-out images are scored against the other half as samples are, as they are and after
the autoencoder's round trip, and so are the training images' round trips. In a space that judges
what is shown rather than how sharp it is, the round trip changes little; where it lifts density
and coverage far above those of the images themselves, blurred samples win. Reads a finished run
(`DIR/images`, `DIR/autoencoder`, `DIR/r00/bank`) and changes nothing.
"""
# ruff: noqa: T201

import argparse
from pathlib import Path

import numpy as np
import torch

from lirf import autoencoder as autoencoding
from lirf import features, metrics, store

ROOT = Path(__file__).parents[2]
CPU, BATCH, NEIGHBOURS = torch.device("cpu"), 256, 5
COLUMNS = ("precision", "recall", "density", "coverage", "frechet")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    data = parser.parse_args().data
    part, space = store.read_part(data / "images"), store.read_register(data / "r00/bank").space
    split, flip = (np.array(part.rows[name].to_pylist()) for name in ("split", "flip"))
    train = part.array[(split == "train") & ~flip.astype(bool)]
    heldout = part.array[split == "heldout"]
    half = len(heldout) // 2
    decoder = autoencoding.load(data / "autoencoder", CPU)

    def encode(images_NCHW: np.ndarray) -> np.ndarray:
        return space.scale(autoencoding.encode(decoder, images_NCHW, BATCH, CPU))

    def again(images_NCHW: np.ndarray) -> np.ndarray:
        return autoencoding.decode(decoder, encode(images_NCHW), space, BATCH, CPU)

    scored = {
        "held-out images": heldout[:half],
        "their round trips": again(heldout[:half]),
        "training images' round trips": again(train),
    }
    print(f"| features | of | {' | '.join(COLUMNS)} |")
    print(f"|---|---|{'---:|' * len(COLUMNS)}")
    for space_ in (features.pixels(), features.latents(decoder.fingerprint, encode)):
        real_NF, known_VNF = space_.extract(heldout[half:]), space_.extract(train)[None]
        for name, images in scored.items():
            found, _ = metrics.compare(space_.extract(images), real_NF, known_VNF, NEIGHBOURS)
            values = (found[column] for column in COLUMNS)
            shown = (f"{value:.3f}" if isinstance(value, float) else "–" for value in values)
            print(f"| {space_.name} | {name} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
