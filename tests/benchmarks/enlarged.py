"""What the autoencoder that ships keeps of images: `python tests/benchmarks/enlarged.py FOLDER`.

Half of the images in FOLDER's `heldout/` go through it as they are and enlarged, and are compared
with the other half.
"""
# ruff: noqa: T201

import argparse
from pathlib import Path

import photographs
import torch

from lirf.autoencoder import kinds, quality
from lirf.autoencoder import model as ae
from lirf.autoencoder.frame import Frame
from lirf.autoencoder.pretrained import SHIPPED
from lirf.features import features, lpips
from lirf.measure import distances
from lirf.measure.sharpness import sharpness

MOST = 600
BATCH = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--lpips", type=Path, help="weights, as for autoencoder.lpips")
    options = parser.parse_args()
    cpu = torch.device("cpu")
    images_NCHW = photographs.read(options.images, options.resolution, "heldout", MOST)
    shown_NCHW, others_NCHW = images_NCHW[::2], images_NCHW[1::2]
    extract = features.of("imagenet", device=cpu).extract
    others_NF = extract(others_NCHW)
    distance = lpips.load(options.lpips, cpu) if options.lpips else None
    print("| | numbers of a latent | PSNR | LPIPS | Frechet | sharpness |\n|---|" + "---:|" * 5)
    own = distances.frechet(extract(shown_NCHW), others_NF).value
    print(f"| the images | | | | {own:.0f} | {sharpness(shown_NCHW):.1f} |", flush=True)
    model = kinds.read(SHIPPED)
    for factor in (1, 2):
        framed = ae.Framed(model, Frame(3, factor))
        back_NCHW = ae.round_trip(framed, shown_NCHW, BATCH, cpu)
        side = options.resolution * factor // kinds.factor(model)
        seen = ""
        if distance is not None:
            seen = f"{distance.distances(shown_NCHW, back_NCHW, BATCH).mean():.3f}"
        print(
            f"| enlarged {factor} times | {kinds.latent_channels(model) * side**2:,} |"
            f" {quality.psnr(shown_NCHW, back_NCHW):.1f} | {seen} |"
            f" {distances.frechet(extract(back_NCHW), others_NF).value:.0f} |"
            f" {sharpness(back_NCHW):.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
