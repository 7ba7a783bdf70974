"""Measure every method of a plan on every data set and seed: `python -m pipeline.comparison`.

Each run is the workflow's own DVC graph in a folder of its own below `.scratch/comparison`, on a
copy of the working tree's tracked files as they are at the start. Runs share a DVC cache, so that
a stage that several have in common is computed once. What is already in the table is not run
again; a killed comparison goes on from the last finished stage and training checkpoint.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lirf import params, processor
from lirf.params import Params
from lirf.store import files
from lirf.studies import comparison
from lirf.studies import plan as plans
from lirf.studies.plan import Plan, Run
from pipeline import devices, exchange, graph, lock
from pipeline import stage as stages_
from pipeline.stage import Place
from stages.support import code

PLAN = Path("pipeline/studies/comparison.yaml")
RENDER = "pipeline/studies/dvc.yaml:compare"
SCRATCH = Path(".scratch/comparison")
NEUTRAL = {"lirf/training/parallel.py"}
"""Code that makes no number: how processes start and end."""
SHARED = "encode"
"""What runs have most in common: all up to this stage is computed by one run, the others wait."""

PLACE = comparison.PLACE
"""What tells the rows of the table apart, and by what the command line narrows the runs down."""

DIGITS = 16  # of a fingerprint


@dataclass(frozen=True)
class Subject:
    """What a stage and all before it depend on besides images: code, and keys of params.yaml."""

    code: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One model to train and measure, and the rows of the table that it is."""

    params: Params
    target: str  # final | baseline
    dataset: str
    folder: Path | None  # with the images; None: the project's own
    images: str  # fingerprint of that folder
    key: str  # fingerprint of the params that the target depends on
    recorded: str  # the same by the names that params.yaml had when rows were recorded
    code: str  # fingerprint of the code that the target depends on
    shared: str  # fingerprint of all that stage SHARED depends on
    rows: tuple[Run, ...]

    @property
    def name(self) -> str:
        """The name of its folder and log."""
        first = self.rows[0]
        whole = _fingerprint([self.key, self.code, self.images, self.target])
        return f"{first.dataset}-{first.method}-{first.seed}-{whole[:8]}"

    @property
    def identity(self) -> dict[str, str]:
        """The columns that a row of the table must have to be this one."""
        return {
            "target": self.target,
            "images": self.images,
            "params": self.key,
            "code": self.code,
        }


@dataclass
class Table:
    """The rows at `path`, written whole at every change."""

    path: Path
    rows: list[dict[str, Any]]

    @classmethod
    def load(cls, path: Path) -> Table:
        """Read the table, empty where there is none."""
        return cls(path, comparison.parse(path.read_text(), str(path)) if path.exists() else [])

    def find(self, job: Job) -> dict[str, Any] | None:
        """Return a row of the same model, whichever study it was made for."""
        wanted = job.identity.items()
        return next((row for row in self.rows if wanted <= _text(row).items()), None)

    def state(self, job: Job, run: Run) -> str:
        """Return whether the row of `run` is there, stale or missing."""
        own = [row for row in self.rows if _place(row) == _place(vars(run))]
        if any(job.identity.items() <= _text(row).items() for row in own):
            return "there"
        return "stale" if own else "missing"

    def put(self, job: Job, result: Mapping[str, Any]) -> None:
        """Write `result` for every row that `job` is, in the place of what stood there.

        What another hand has written since the table was read stays.

        Raises:
            ValueError: the file is damaged.
        """
        if self.path.exists():
            self.rows = Table.load(self.path).rows
        new = [
            {**result, **{key: vars(run)[key] for key in PLACE}, **job.identity} for run in job.rows
        ]
        places = {_place(row) for row in new}
        self.rows = [row for row in self.rows if _place(row) not in places] + new
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.partial")
        partial.write_text(comparison.tidy(self.rows))
        partial.replace(self.path)


@dataclass
class Bench:
    """Works off jobs, some at a time, and puts what comes out into the table."""

    place: Place
    source: Path  # the copy of the working tree
    scratch: Path
    table: Table
    jobs: int
    threads: int
    instructions: str
    keep: bool
    checks: bool = False  # what comes out is kept in `found`, the table stays as it is
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    failed: int = 0
    done: int = 0
    _active: Counter[tuple[str, int]] = field(default_factory=Counter)
    _shared: dict[str, asyncio.Lock] = field(default_factory=dict)
    _ready: set[str] = field(default_factory=set)

    async def work(self, jobs: Sequence[Job]) -> None:
        """Run all of `jobs`."""
        pending, total = list(jobs), len(jobs)

        async def worker() -> None:
            while pending and not self.place.stop.is_set():
                # Two runs of one seed may have more stages in common: rather not side by side.
                job = min(pending, key=lambda one: self._active[one.dataset, one.rows[0].seed])
                pending.remove(job)
                seat = (job.dataset, job.rows[0].seed)
                self._active[seat] += 1
                try:
                    async with devices.hold(self.devices, self.place.stop) as device:
                        await self._run(job, replace(self.place, device=device), total)
                finally:
                    self._active[seat] -= 1

        await asyncio.gather(*(worker() for _ in range(self.jobs)))

    async def _run(self, job: Job, place: Place, total: int) -> None:
        """Run one job. A failure is told in a line and leaves the folder and the log."""
        if place.stop.is_set():
            return
        folder = self.scratch / "runs" / job.name
        log = self.scratch / "logs" / f"{job.name}.log"
        device = "cuda" if self.devices else "cpu"
        kind = f"{device}-{self.instructions}-{self.threads}"
        cache = SCRATCH.resolve() / "cache" / kind
        prepare(self.source, folder, job, cache)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        place = replace(place, root=folder)
        began, ends = 0.0, Counter[str]()
        async with self._shared.setdefault(job.shared, asyncio.Lock()):
            began = time.monotonic()
            if job.shared not in self._ready and await _reproduce(SHARED, place, log, ends):
                self._ready.add(job.shared)
        code_ok = job.shared in self._ready and not place.stop.is_set()
        if code_ok:
            own = Counter[str]()
            code_ok = await _reproduce(f"evaluate@{job.target}", place, log, own)
            ends["ran"] += own["ran"]
            ends["all"] = own.total()
        if place.stop.is_set() and not code_ok:
            return
        self.done += 1
        try:
            if not code_ok:
                raise ValueError(_reason(log))
            result = read(folder, job)
        except ValueError as error:
            self.failed += 1
            _say(f"[{self.done}/{total}] {job.name}: failed: {error}; see {log}")
            return
        seconds = time.monotonic() - began
        result |= {"seconds": round(seconds, 1), "ran": f"{ends['ran']} of {ends['all']}"}
        result |= {"threads": self.threads, "instructions": self.instructions, "device": device}
        self.found[job.name] = result
        if not self.checks:
            self.table.put(job, result)
        if not self.keep:
            shutil.rmtree(folder)
        _say(f"[{self.done}/{total}] {job.name}: {seconds:.0f} s, {result['ran']} stages ran")


async def _reproduce(target: str, place: Place, log: Path, ends: Counter[str]) -> bool:
    """Bring `target` up to date; count in `ends` how its stages ended. Return whether it went."""
    code: list[int] = []
    with log.open("a") as file:
        async for line in stages_.lines([*stages_.DVC, "repro", target], place, code):
            file.write(line + "\n")
            file.flush()
            if line.startswith("Running stage "):
                ends["ran"] += 1
            elif line.startswith("Stage ") and ("didn't change" in line or "is cached" in line):
                ends["kept"] += 1
    return code == [0]


def _reason(log: Path) -> str:
    """Return the line of a log that says what went wrong."""
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    told = [line for line in lines if line.lower().startswith("error: ")]
    return (told or lines or ["no output"])[0].partition("rror: ")[2] or "no reason given"


def read(folder: Path, job: Job) -> dict[str, Any]:
    """Return what the run in `folder` measured: metrics and their protocol, bank, admission.

    Raises:
        ValueError: a file is missing or damaged.
    """
    metrics = folder / "data" / "metrics"
    document = files.read_json(metrics / f"{job.target}.json")
    prepared = files.read_json(metrics / "prepare.json")
    found = {key: value for key, value in document.items() if key != "seed"}
    found |= {
        "evaluate_seed": document["seed"],
        "bank_rows": prepared["train"] + prepared["mirrored"],
        "admitted": None,
    }
    if job.target == "final":
        rounds = [files.read_json(metrics / "admission" / f"{r}.json") for r in job.params.rounds]
        candidates = sum(one["candidates"] for one in rounds)
        admitted = sum(one["admitted"] for one in rounds)
        found |= {
            "bank_rows": rounds[-1]["bank_after"],
            "admitted": round(admitted / candidates, 6) if candidates else None,
        }
    return found


def export(root: Path, folder: Path) -> None:
    """Copy the tracked files of the working tree at `root`, as they are, without results.

    Raises:
        ValueError: `root` is no git repository.
    """
    git = ["git", "-C", str(root), "ls-files", "-z"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ValueError(f"{root}: {' '.join(done.stderr.split())}; start it in a clone")
    for name in done.stdout.split("\0")[:-1]:
        path = Path(name)
        if path.parts[0] == "data" or path.name == "dvc.lock" or not (root / name).is_file():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, folder / name, follow_symlinks=False)
    _configure(folder)


def prepare(source: Path, folder: Path, job: Job, cache: Path) -> None:
    """Make the repository of a run: code, images, params.yaml, a shared cache, nothing else shared.

    What an earlier, killed attempt has left in `folder` stays and is used.
    """
    shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True)
    if job.folder is not None:
        shutil.copytree(job.folder, folder / "images" / job.dataset, dirs_exist_ok=True)
    YAML().dump(job.params.model_dump(mode="json", by_alias=True), folder / "params.yaml")
    _configure(folder, {"cache": {"dir": cache}})


def _configure(folder: Path, own: Mapping[str, Mapping[str, object]] | None = None) -> None:
    """Make the folder a DVC repository that is alone: no git around it, no index shared.

    DVC's index of file hashes is a database per repository: with the folder it goes.
    """
    core = {"no_scm": "true", "site_cache_dir": folder.resolve() / ".dvc" / "site"}
    lines = [
        line
        for section, values in {"core": core, **(own or {})}.items()
        for line in (f"[{section}]", *(f"    {key} = {value}" for key, value in values.items()))
    ]
    (folder / ".dvc").mkdir(exist_ok=True)
    (folder / ".dvc" / "config.local").write_text("\n".join(lines) + "\n")


def subject(root: Path, stages: Mapping[str, graph.Stage], target: str) -> Subject:
    """Return what `target` and all before it depend on."""
    upstream = graph.select(dict(stages), target, upstream=True).values()
    sources = {path for stage in upstream for path in stage.sources if path.endswith(".py")}
    digests = {path: exchange.digest(root / path) for path in sorted(sources)}
    names = {Path(path).stem for stage in upstream for path in stage.manifests}
    own = [digests, code.fingerprint(*names, root=root, without=NEUTRAL)]
    keys = {key for stage in upstream for key in stage.params}
    if any(key.startswith("rounds.") for key in keys):  # a loop has any number of rounds
        keys |= {"rounds", "models"}
    return Subject(_fingerprint(own), tuple(sorted(keys)))


def make_jobs(
    runs: Iterable[Run],
    subjects: Mapping[str, Subject],
    images: Mapping[str, Path],
    recorded: Mapping[str, Any] | None = None,
) -> list[Job]:
    """Return a job for every model among `runs`; equal ones of several studies are one."""
    digests = {name: exchange.digest(path)[:DIGITS] for name, path in images.items()}
    found: dict[tuple[str, ...], Job] = {}
    for run in runs:
        document = run.params.model_dump(mode="json", by_alias=True)
        own, shared = subjects[f"evaluate@{run.target}"], subjects[SHARED]
        source = digests.get(run.dataset, "embedded")
        key = _pick(document, own.keys)
        job = Job(
            params=run.params,
            target=run.target,
            dataset=run.dataset,
            folder=images.get(run.dataset),
            images=source,
            key=key,
            recorded=_recorded(document, run.target, own, recorded or {}),
            code=own.code,
            shared=_fingerprint([_pick(document, shared.keys), shared.code, source]),
            rows=(run,),
        )
        known = found.setdefault((run.target, source, key), job)
        if known is not job:
            found[run.target, source, key] = replace(known, rows=(*known.rows, run))
    return list(found.values())


def _pick(document: Mapping[str, Any], keys: Iterable[str]) -> str:
    """Return the fingerprint of those values of `document`."""
    values = {}
    for key in keys:
        value: Any = document
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        values[key] = value
    return _fingerprint(values)


def _recorded(
    document: Mapping[str, Any], target: str, own: Subject, recorded: Mapping[str, Any]
) -> str:
    """Return the fingerprint of params by the keys and names of `recorded`, as rows know it.

    `keys` has a list of keys a target, `names` the former name of a key, or None where there was
    none; in a key, `*` stands for any one part.
    """
    before = dict[str, Any]()
    for path, value in _leaves(document):
        names = [old for new, old in recorded.get("names", {}).items() if fnmatch(path, new)]
        if names[:1] != [None]:
            *parts, last = (names[0] if names else path).split(".")
            section = before
            for part in parts:
                section = section.setdefault(part, {})
            section[last] = value
    return _pick(before, recorded.get("keys", {}).get(target, own.keys))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value that is no mapping, or an empty one, with its dotted path."""
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{path}.{key}" if path else key)


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGITS]


def _text(row: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(row.get(key)) for key in ("target", "images", "params", "code")}


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key] for key in PLACE)


def _folders(plan: Plan, given: Sequence[str]) -> dict[str, Path]:
    """Return the folders of images outside of the project, `given` as NAME=FOLDER first."""
    found = {name: d.images for name, d in plan.datasets.items() if d.images is not None}
    for text in given:
        name, _, folder = text.partition("=")
        if name not in found or not folder:
            known = ", ".join(found) or "none"
            raise ValueError(f"--images {text}: must be NAME=FOLDER, NAME one of: {known}")
        found[name] = folder
    return {name: Path(folder).expanduser() for name, folder in found.items()}


@contextlib.contextmanager
def _interruptible(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on Ctrl-C and on SIGTERM: runs end, the table is whole."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _work(options: argparse.Namespace) -> int:
    """Do what the command line asks for; return the exit status."""
    plan, root = plans.load(options.plan), Path.cwd()
    for name in ("jobs", "threads"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} {getattr(options, name)}: must be at least 1")
    folders = _folders(plan, options.images)
    table = Table.load(Path("data/studies") / options.plan.stem / "runs.tsv")
    scratch = SCRATCH / options.plan.stem
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="source-") as temporary:
        source = Path(temporary)
        export(root, source)
        base = params.read(source / "params.yaml")
        whole = list(plans.unroll(plan, base, str(options.plan)))
        runs = _chosen(whole, options)
        missing = {name for name, folder in folders.items() if not folder.is_dir()}
        for name in sorted(missing & {run.dataset for run in runs}):
            left = sum(run.dataset == name for run in runs)
            _say(
                f"{name}: {folders[name]}: no such folder, {left} runs skipped; --images {name}=DIR"
            )
        here = {name: folder for name, folder in folders.items() if name not in missing}
        stages = graph.read(source)
        targets = (*(f"evaluate@{run.target}" for run in whole), SHARED)
        subjects = {target: subject(source, stages, target) for target in dict.fromkeys(targets)}
        recorded = params.read(options.recorded) if options.recorded else None
        present = [run for run in runs if run.dataset not in missing]
        jobs = make_jobs(present, subjects, here, recorded)
        if options.list:
            _list(table, jobs)
            return 0
        with lock.hold(scratch, "comparison") as held:
            if not any(getattr(options, name) for name in PLACE):
                _sweep(scratch / "runs", jobs)
            every = make_jobs(whole, subjects, here, recorded) if options.check else []
            return await _run(options, table, jobs, every, source, held.descriptor)


def _chosen(runs: list[Run], options: argparse.Namespace) -> list[Run]:
    """Return the runs that the command line asks for: of all where it says nothing.

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
    return runs


def _sweep(folder: Path, jobs: Iterable[Job]) -> None:
    """Delete what attempts at other code, params or rows have left."""
    names = {job.name for job in jobs}
    for left in folder.iterdir() if folder.is_dir() else ():
        if left.name not in names:
            shutil.rmtree(left)


async def _run(
    options: argparse.Namespace,
    table: Table,
    jobs: list[Job],
    every: list[Job],
    source: Path,
    descriptor: int,
) -> int:
    """Run what is missing or stale, or all where asked to; return the exit status."""
    todo = []
    for job in [] if options.check else jobs:
        row = table.find(job)
        if row is None:
            todo.append(job)
        elif any(table.state(job, run) != "there" for run in job.rows):
            table.put(job, row)
    _say(f"{len(jobs) - len(todo)} of {len(jobs)} models are in {table.path}")
    if options.again or options.check:
        todo = jobs
    if not todo:
        return 0
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    stop = asyncio.Event()
    bench = Bench(
        place=Place(source, stop, descriptor),
        source=source,
        scratch=SCRATCH / options.plan.stem,
        table=table,
        jobs=options.jobs,
        threads=options.threads,
        instructions=processor.instructions(),
        keep=options.keep,
        checks=options.check,
        devices=devices.visible(),
    )
    with _interruptible(stop):
        await bench.work(todo)
    if stop.is_set():
        _say("interrupted; the same command goes on from here")
        return 130
    agreed = not options.check or (not bench.failed and _check(table, every, todo, bench.found))
    return 0 if agreed and not bench.failed else 1


def _check(
    table: Table, every: list[Job], jobs: list[Job], found: Mapping[str, dict[str, Any]]
) -> bool:
    """Compare what was run again with its rows to the bit; restamp the rows of code that agrees.

    A row is restamped if every row of its target and code that was run again gave the recorded
    numbers, and its images and params are those of the plan. It keeps its numbers, and `checked`
    says of which code they are and which rows were run again. Returns whether all agreed.
    """
    rows = {_place(row): row for row in table.rows}
    families: dict[tuple[str, str], dict[str, bool]] = {}
    for job in jobs:
        for run in job.rows:
            row = rows.get(_place(vars(run)))
            if row is None or job.name not in found:
                continue
            own = found[job.name]
            keys = sorted({*row, *own}.difference(comparison.RAN, job.identity, (*PLACE, "target")))
            differ = [key for key in keys if repr(row.get(key)) != repr(own.get(key))]
            name = "/".join(map(str, _place(row)))
            families.setdefault((row["target"], row["code"]), {})[name] = not differ
            told = [f"{key} is {own.get(key)}, recorded {row.get(key)}" for key in differ]
            _say(f"{name}: {'; '.join(told) or 'the recorded numbers, to the bit'}")
    for (target, recorded), agreed in families.items():
        if all(agreed.values()):
            _restamp(table, every, target, recorded, f"{recorded} by {', '.join(sorted(agreed))}")
        else:
            _say(f"{target} {recorded}: rows stay as they are")
    return bool(families) and all(all(agreed.values()) for agreed in families.values())


def _restamp(table: Table, jobs: list[Job], target: str, code: str, how: str) -> None:
    """Give the rows of one target and code the fingerprints of this code, and say `how`."""
    count = 0
    for job in jobs:
        for run in job.rows:
            row = next((r for r in table.rows if _place(r) == _place(vars(run))), None)
            if row is None or (row["target"], row["code"]) != (target, code):
                continue
            images = row["images"] if job.folder is None else job.images  # not here: as recorded
            same = row["images"] == images and row["params"] in (job.key, job.recorded)
            if same and code != job.code:
                before = [row["checked"]] if row.get("checked") else []
                table.put(
                    replace(job, rows=(run,), images=images),
                    row | {"checked": "; ".join([*before, how])},
                )
                count += 1
            elif not same:
                _say(f"{'/'.join(map(str, _place(row)))}: other images or params, stays stale")
    _say(f"{target} {code}: {count} rows restamped")


def _list(table: Table, jobs: Iterable[Job]) -> None:
    """Say for every row of the plan whether it is there."""
    states = [(run, table.state(job, run)) for job in jobs for run in job.rows]
    for run, state in states:
        _say(f"{state:8}{run.study:12}{run.dataset:10}{run.method:32}seed {run.seed}")
    count = Counter(state for _, state in states)
    others = {_place(row) for row in table.rows} - {_place(vars(run)) for run, _ in states}
    _say(
        f"{count['there']} there, {count['stale']} stale (other code, params or images),"
        f" {count['missing']} missing; {len(others)} rows of no run that was asked for"
    )


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def main(arguments: list[str] | None = None) -> int:
    """Run a comparison from a terminal; exit status 130 after Ctrl-C, 1 where a run failed."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.comparison",
        description="Measure every method of a plan on every data set and seed.",
    )
    parser.add_argument("--plan", type=Path, default=PLAN, help=f"default: {PLAN}")
    for name in PLACE:
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            type=int if name == "seed" else str,
            help="only this one; repeatable",
        )
    parser.add_argument(
        "--images",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="where the images of a data set are that are no part of the project; repeatable",
    )
    parser.add_argument("-j", "--jobs", type=int, default=2, help="runs at the same time")
    parser.add_argument("--threads", type=int, default=1, help="of each run: OMP_NUM_THREADS")
    parser.add_argument("--keep", action="store_true", help="keep the folders of finished runs")
    parser.add_argument("--again", action="store_true", help="run what is in the table, too")
    parser.add_argument(
        "--check",
        action="store_true",
        help="run chosen rows again; where all have the recorded numbers to the bit, restamp the"
        " rows of the same code",
    )
    parser.add_argument(
        "--recorded",
        type=Path,
        metavar="FILE",
        help="with --check: the keys and names of params.yaml that rows were recorded by (YAML)",
    )
    parser.add_argument("--list", action="store_true", help="only say what is there")
    parser.add_argument(
        "--render", action="store_true", help=f"only draw what is there: dvc repro {RENDER}"
    )
    options = parser.parse_args(arguments)
    try:
        if options.render:
            if options.plan != PLAN:
                raise ValueError(
                    "--render: draws the default plan; others: python -m stages.compare"
                )
            return subprocess.run([*stages_.DVC, "repro", RENDER], check=False).returncode  # noqa: S603
        return asyncio.run(_work(options))
    except BrokenPipeError:  # of `| head`, which the interpreter's last flush would meet again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
