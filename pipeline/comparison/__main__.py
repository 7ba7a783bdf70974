"""Measure every method of a plan on every data set and seed: `python -m pipeline.comparison`.

Each run is the workflow's own DVC graph in a folder of its own below `.scratch/comparison`, on a
copy of the working tree's tracked files as they are at the start. Runs share a DVC cache, so that
a stage that several have in common is computed once. What is already in the table is not run
again; a killed comparison goes on from the last finished stage and training checkpoint.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from lirf import params
from lirf.studies import plan as plans
from lirf.studies.plan import PLACE, Plan, Run
from pipeline import devices, graph, interrupt, lock
from pipeline.comparison import bench
from pipeline.comparison.jobs import Job, make_jobs, subject
from pipeline.comparison.table import Table, check, say
from pipeline.stage import Place

PLAN = Path("pipeline/studies/comparison.yaml")
SCRATCH = Path(".scratch/comparison")


async def _work(options: argparse.Namespace) -> int:
    """Do what the command line asks for; return the exit status."""
    plan = plans.load(options.plan)
    for name in ("jobs", "threads"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} {getattr(options, name)}: must be at least 1")
    table = Table.load(Path("data/studies") / options.plan.stem / "runs.tsv")
    images = _folders(plan, options.images)
    recorded = params.read(options.recorded) if options.recorded else {}
    scratch = SCRATCH / options.plan.stem
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="source-") as temporary:
        source = Path(temporary)
        bench.export(Path.cwd(), source)
        whole = list(plans.unroll(plan, source, str(options.plan)))
        stages = graph.read(source)
        targets = {run.target for run in whole}
        subjects = {name: subject(source, stages, f"evaluate@{name}") for name in targets}
        here = {name: folder for name, folder in images.items() if folder.is_dir()}
        every = make_jobs(whole, subjects, here, recorded)
        jobs = make_jobs(_chosen(whole, images, options), subjects, here, recorded)
        if options.list:
            _list(table, jobs)
            return 0
        with lock.hold(scratch, "comparison") as held:
            if not (options.check or options.again):
                jobs = _missing(table, jobs)
            stop = asyncio.Event()
            own = bench.Bench(
                place=Place(source, stop, held.descriptor),
                scratch=scratch,
                table=None if options.check else table,
                threads=options.threads,
                keep=options.keep,
                devices=devices.visible(),
            )
            with interrupt.signals(stop):
                await own.work(jobs, options.jobs)
            if stop.is_set():
                say("interrupted; the same command goes on from here")
                return 130
            failed = len(own.found) < len(jobs)
            if options.check and not failed:
                failed = not check(table, every, jobs, own.found)
            return 1 if failed else 0


def _folders(plan: Plan, given: Iterable[str]) -> dict[str, Path]:
    """Return the folders of images outside of the project, `given` as NAME=FOLDER first."""
    found = {name: d.images for name, d in plan.datasets.items() if d.images is not None}
    for text in given:
        name, _, folder = text.partition("=")
        if name not in found or not folder:
            known = ", ".join(found) or "none"
            raise ValueError(f"--images {text}: must be NAME=FOLDER, NAME one of: {known}")
        found[name] = folder
    return {name: Path(folder).expanduser() for name, folder in found.items()}


def _chosen(runs: list[Run], images: dict[str, Path], options: argparse.Namespace) -> Iterator[Run]:
    """Yield the runs that the command line asks for, of all where it says nothing.

    What has no images here is left out, which is said.

    Raises:
        ValueError: a name that no run has.
    """
    for name in PLACE:
        wanted, known = getattr(options, name), dict.fromkeys(getattr(r, name) for r in runs)
        for value in wanted:
            if value not in known:
                there = ", ".join(map(str, known))
                raise ValueError(f"--{name} {value}: no such {name}; there are {there}")
        runs = [run for run in runs if not wanted or getattr(run, name) in wanted]
    for name, count in Counter(run.dataset for run in runs).items():
        if name in images and not images[name].is_dir():
            remedy = f"{count} runs skipped; --images {name}=DIR"
            say(f"{name}: {images[name]}: no such folder, {remedy}")
        else:
            yield from (run for run in runs if run.dataset == name)


def _missing(table: Table, jobs: list[Job]) -> list[Job]:
    """Return the jobs whose model has no row; one that has gets all the rows that it is."""
    known = [(job, row) for job in jobs if (row := table.find(job))]
    for job, row in known:
        if any(table.state(job, run) != "there" for run in job.runs):
            table.put(job.rows(row))
    say(f"{len(known)} of {len(jobs)} models are in {table.path}")
    return [job for job in jobs if not table.find(job)]


def _list(table: Table, jobs: Iterable[Job]) -> None:
    """Say for every row of the plan whether it is there."""
    states = [(run, table.state(job, run)) for job in jobs for run in job.runs]
    for run, state in states:
        say(f"{state:8}{run.study:12}{run.dataset:10}{run.method:32}seed {run.seed}")
    count = Counter(state for _, state in states)
    others = len(table.rows) - count["there"] - count["stale"]
    say(
        f"{count['there']} there, {count['stale']} stale (other code, params or images),"
        f" {count['missing']} missing; {others} rows of no run that was asked for"
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.comparison", description=(__doc__ or "").partition(":")[0]
    )
    add = parser.add_argument
    add("--plan", type=Path, default=PLAN, help=f"default: {PLAN}")
    for name in PLACE:
        kind = int if name == "seed" else str
        add(f"--{name}", action="append", default=[], type=kind, help="only this; repeatable")
    add(
        "--images", action="append", default=[], metavar="NAME=DIR",
        help="where the images of a data set are that are no part of the project; repeatable",
    )  # fmt: skip
    add("-j", "--jobs", type=int, default=2, help="runs at the same time")
    add("--threads", type=int, default=1, help="of each run: OMP_NUM_THREADS")
    add("--keep", action="store_true", help="keep the folders of finished runs")
    add("--again", action="store_true", help="run what is in the table, too")
    add(
        "--check", action="store_true",
        help="run chosen rows again; where all have the recorded numbers to the bit, restamp the"
        " rows of the same code",
    )  # fmt: skip
    add(
        "--recorded", type=Path, metavar="FILE",
        help="with --check: the keys and names of params.yaml that rows were recorded by (YAML)",
    )  # fmt: skip
    add("--list", action="store_true", help="only say what is there")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run a comparison from a terminal; exit status 130 after Ctrl-C, 1 where a run failed."""
    options = _options(arguments)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    try:
        return asyncio.run(_work(options))
    except BrokenPipeError:  # of `| head`, which the interpreter's last flush would meet again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
