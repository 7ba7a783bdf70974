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

from finished import ROOT, Finished

from lirf.features import features
from lirf.measure import evaluation

NEIGHBOURS = 5
COLUMNS = ("precision", "recall", "density", "coverage", "frechet")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    run = Finished.read(parser.parse_args().data)
    half = len(run.heldout) // 2
    scored = {
        "held-out images": run.heldout[:half],
        "their round trips": run.again(run.heldout[:half]),
        "training images' round trips": run.again(run.train),
    }
    print(f"| features | of | {' | '.join(COLUMNS)} |")
    print(f"|---|---|{'---:|' * len(COLUMNS)}")
    for space in (features.of("pixels"), run.latents()):
        real_NF, known_VNF = space.extract(run.heldout[half:]), space.extract(run.train)[None]
        for name, images in scored.items():
            found, _ = evaluation.compare(space.extract(images), real_NF, known_VNF, NEIGHBOURS)
            values = (found[column] for column in COLUMNS)
            shown = (f"{value:.3f}" if isinstance(value, float) else "–" for value in values)
            print(f"| {space.name} | {name} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
