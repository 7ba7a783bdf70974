"""Frechet distance and memorised samples against evaluations of the network, for every solver.

    python tests/benchmarks/solvers.py [--data DIR ...] [--out DIR] [--samples N] [--no-dopri5]

Draws the samples of `evaluate` from trained models of the workflow (`DIR/final/weights`) and
measures them as it does with `evaluate.features: pixels`; nothing in DIR is changed. Several DIR
are runs of several seeds, such as `python -m pipeline.comparison --keep` leaves, and their mean is
taken. Writes `table.md`, `solvers.tsv` and `solvers.png`, and says which fixed solver is the
cheapest within 1 % of the best Frechet distance.
"""
# ruff: noqa: T201

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from finished import CPU, ROOT, Finished

from lirf import params
from lirf.features import features
from lirf.measure import nearest
from lirf.measure.distances import frechet
from lirf.measure.memorised import find_memorised
from lirf.report import style, tables
from lirf.sampling import sampler

STEPS = {
    "euler": (5, 10, 20, 40, 80),
    "heun": (3, 5, 10, 20, 40),
    "midpoint": (3, 5, 10, 20, 40),
    "dopri5": (0,),  # chooses its own
}
WITHIN = 1.01


@dataclass(frozen=True)
class Row:
    """One solver at one number of steps, of one run or of several in the mean."""

    solver: str
    steps: int
    evaluations: float  # of the network, a sample
    frechet: float
    memorised: float
    seconds: float  # of the processor, for all samples


class Counted:
    """A velocity field that counts the points at which it is asked."""

    def __init__(self, field) -> None:
        self.field, self.points = field, 0

    def __call__(self, x_BCHW: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
        self.points += len(x_BCHW)
        return self.field(x_BCHW, t_B)


def measure(data: Path, samples: int, solvers: dict[str, tuple[int, ...]]) -> list[Row]:
    """Return a row for every solver and number of steps."""
    run, numbers = Finished.read(data), params.load(ROOT / "params.yaml")
    field, shape = run.model("final", numbers.sample).field, run.space.shape
    extract = features.of("pixels").extract
    known_VNF = np.stack([extract(one) for one in nearest.versions(run.train, run.again)])
    real_NF = extract(run.heldout)
    noise = sampler.seeds(numbers.evaluate.seed, "evaluate", samples)
    rows = []
    for solver, counts in solvers.items():
        for steps in counts:
            config = numbers.sample.model_copy(
                update={"solver": solver, "steps": steps or numbers.sample.steps}
            )
            counted, began = Counted(field), time.process_time()
            drawn = [z.numpy() for z in sampler.sample(counted, noise, shape, config, CPU)]
            took = time.process_time() - began
            fake_MF = extract(run.decode(np.concatenate(drawn)))
            distance = frechet(fake_MF, real_NF).value
            memorised = find_memorised(fake_MF, known_VNF).share
            assert distance is not None, "there are images enough"
            rows.append(Row(solver, steps, counted.points / samples, distance, memorised, took))
            print(rows[-1], flush=True)
    return rows


def mean(runs: Sequence[list[Row]]) -> list[Row]:
    """Return the mean of the same solvers over runs."""
    names = ("evaluations", "frechet", "memorised", "seconds")
    return [
        replace(same[0], **{name: fmean(getattr(row, name) for row in same) for name in names})
        for same in zip(*runs, strict=True)
    ]


def write(rows: list[Row], out: Path) -> None:
    """Write the table, its numbers and the picture."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "solvers.tsv").write_text(tables.tsv([asdict(row) for row in rows]))
    table = [
        "| solver | steps | evaluations | Frechet | memorised | s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    table += [
        f"| {row.solver} | {row.steps or 'its own'} | {row.evaluations:.0f} | {row.frechet:.3f}"
        f" | {row.memorised:.3f} | {row.seconds:.1f} |"
        for row in rows
    ]
    best = min(row.frechet for row in rows)
    fixed = [row for row in rows if row.steps and row.frechet <= WITHIN * best]
    if fixed:
        cheap = min(fixed, key=lambda row: row.evaluations)
        table.append(
            f"\nCheapest within 1 % of the best Frechet distance ({best:.3f}):"
            f" {cheap.solver}, {cheap.steps} steps, {cheap.evaluations:.0f} evaluations."
        )
    (out / "table.md").write_text("\n".join(table) + "\n")
    print("\n".join(table))
    draw(rows, out / "solvers.png")


def draw(rows: list[Row], path: Path) -> None:
    """Draw both measures over evaluations."""
    titles = {"frechet": "Frechet distance", "memorised": "share of memorised samples"}
    ticks = (5, 10, 20, 40, 80)
    with style.drawing(path, 9, 3.6) as figure:
        for axis, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
            for solver in dict.fromkeys(row.solver for row in rows):
                some = [row for row in rows if row.solver == solver]
                places = [row.evaluations for row in some]
                axis.plot(places, [getattr(row, name) for row in some], marker="o", label=solver)
            axis.set(xscale="log", xlabel="evaluations of the network a sample", title=title)
            axis.set_ylim(bottom=0)
            axis.set_xticks(ticks, [str(tick) for tick in ticks])
            axis.minorticks_off()
        figure.axes[0].legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, nargs="+", default=[ROOT / "data"])
    parser.add_argument("--out", type=Path, default=ROOT / ".scratch" / "solvers")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--no-dopri5", action="store_true")
    options = parser.parse_args()
    solvers = {name: steps for name, steps in STEPS.items() if steps[0] or not options.no_dopri5}
    write(mean([measure(data, options.samples, solvers) for data in options.data]), options.out)


if __name__ == "__main__":
    main()
