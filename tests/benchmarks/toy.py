"""Methods of the spiral study over many seeds: `python tests/benchmarks/toy.py`.

For every number of points mean and error of the mean of what the study measures, and of each
method's difference from plain training, seed by seed. Reads the table of a finished study.
"""
# ruff: noqa: T201

import argparse
import csv
from pathlib import Path

import numpy as np
from finished import ROOT

from lirf.studies import study

SHOWN = ("to_curve", "covered", "off", "memorised", "transport")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=ROOT / "data" / "studies" / "spiral/runs.tsv")
    path = parser.parse_args().runs
    with path.open(newline="") as file:
        found = {
            (int(row["count"]), row["method"], int(row["seed"])): [float(row[key]) for key in SHOWN]
            for row in csv.DictReader(file, delimiter="\t")
        }
    counts, seeds = sorted({key[0] for key in found}), sorted({key[2] for key in found})
    if len(seeds) < 2:
        parser.error(f"{path}: seed {seeds[0]} alone; an error takes two, see spiral.seeds")
    print(f"Seeds {', '.join(map(str, seeds))}.\n")
    print(f"| points | method | {' | '.join(SHOWN)} |\n|---:|---|{'---:|' * len(SHOWN)}")
    for count in counts:
        measured = {
            method: np.array([found[count, method, seed] for seed in seeds])
            for method in study.METHODS
        }
        for method, values_SM in measured.items():
            print(f"| {count} | {method} | {_line(values_SM)} |")
        for method in (study.AUGMENTED, study.LOOP):
            less_SM = measured[method] - measured[study.PLAIN]
            print(f"| {count} | {method} - {study.PLAIN} | {_line(less_SM)} |")


def _line(values_SM: np.ndarray) -> str:
    """Return mean and error of the mean over seeds S of every measure M."""
    errors_M = values_SM.std(0, ddof=1) / len(values_SM) ** 0.5
    return " | ".join(
        f"{a:.4f} ± {b:.4f}" for a, b in zip(values_SM.mean(0), errors_M, strict=True)
    )


if __name__ == "__main__":
    main()
