"""Work off jobs, some at a time: each the workflow's own DVC graph in a folder of its own."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lirf import processor
from lirf.store import files
from pipeline import devices, stage
from pipeline.comparison.jobs import Job
from pipeline.comparison.table import Table, say
from pipeline.stage import Place

SHARED = "encode"
"""What runs have most in common: one at a time computes what leads to it, and others find it."""


@dataclass
class Bench:
    """Where jobs are worked off, and what has come out of them."""

    place: Place  # the copy of the working tree, and who stops the runs
    scratch: Path  # folders of runs, and their logs
    table: Table | None  # what comes out goes there; None: only into `found`
    threads: int
    keep: bool
    devices: tuple[str, ...] = ()
    found: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the names of jobs
    _sharing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def work(self, jobs: Iterable[Job], at_once: int) -> None:
        """Run `jobs`, so many at once."""
        seats = asyncio.Semaphore(at_once)

        async def run(job: Job) -> None:
            async with seats, devices.hold(self.devices, self.place.stop) as device:
                if not self.place.stop.is_set():
                    await self._run(job, device)

        await asyncio.gather(*map(run, jobs))

    async def _run(self, job: Job, device: str | None) -> None:
        """Run one job. A failure is told in a line and leaves the folder and the log."""
        by = {
            "threads": self.threads,
            "instructions": processor.instructions(),
            "device": "cuda" if self.devices else "cpu",
        }
        folder, log = self.scratch / "runs" / job.name, self.scratch / "logs" / f"{job.name}.log"
        kind = f"{by['device']}-{by['instructions']}-{by['threads']}"  # what rounds alike
        prepare(self.place.root, folder, job, self.scratch.parent / "cache" / kind)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        place = replace(self.place, root=folder, device=device)
        try:
            async with self._sharing:
                began = time.monotonic()
                await _reproduce(SHARED, place, log)
            await _reproduce(f"evaluate@{job.target}", place, log)
            result = read(folder, job)
        except ValueError as error:
            if not place.stop.is_set():
                say(f"{job.name}: failed: {error}; see {log}")
            return
        by |= {"seconds": round(time.monotonic() - began, 1)}
        self.found[job.name] = result | by
        if self.table:
            self.table.put(job.rows(result | by))
        if not self.keep:
            shutil.rmtree(folder)
        say(f"{job.name}: {by['seconds']:.0f} s")


async def _reproduce(target: str, place: Place, log: Path) -> None:
    """Bring `target` up to date.

    Raises:
        ValueError: it failed; the line of the log that says why.
    """
    status: list[int] = []
    with log.open("a") as file:
        async for line in stage.lines([*stage.DVC, "repro", target], place, status):
            print(line, file=file, flush=True)
    if status != [0]:
        text = log.read_text()
        told = re.findall(r"^error: (.+)", text, re.MULTILINE) or re.findall(r"^ERROR: (.+)", text)
        raise ValueError(told[0] if told else "no reason given")


def read(folder: Path, job: Job) -> dict[str, Any]:
    """Return what the run in `folder` measured: metrics and their protocol, bank, admission.

    Raises:
        ValueError: a file is missing or damaged.
    """
    metrics = folder / "data" / "metrics"
    found = files.read_json(metrics / f"{job.target}.json")
    prepared = files.read_json(metrics / "prepare.json")
    rows, admitted = prepared["train"] + prepared["mirrored"], None
    if job.target == job.params.final:
        rounds = [files.read_json(metrics / "admission" / f"{r}.json") for r in job.params.rounds]
        rows = rounds[-1]["bank_after"]
        if candidates := sum(one["candidates"] for one in rounds):
            admitted = round(sum(one["admitted"] for one in rounds) / candidates, 6)
    found["evaluate_seed"] = found.pop("seed")
    return {**found, "bank_rows": rows, "admitted": admitted}


def export(root: Path, folder: Path) -> None:
    """Copy the tracked files of the working tree at `root`, as they are, without results.

    Raises:
        ValueError: `root` is no git repository.
    """
    git = ["git", "-C", str(root), "ls-files", "-z", "--", ".", ":!data", ":!*dvc.lock"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ValueError(f"{root}: {' '.join(done.stderr.split())}; start it in a clone")
    for name in done.stdout.split("\0")[:-1]:
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name, follow_symlinks=False)
    _configure(folder)


def prepare(source: Path, folder: Path, job: Job, cache: Path) -> None:
    """Make the repository of a run: code, images, params.yaml, a shared cache, no more is shared.

    What an earlier, killed attempt has made in `folder` stays and is used, but not its code.
    """
    for path in source.iterdir():
        if path.is_dir() and path.name != ".dvc":
            shutil.rmtree(folder / path.name, ignore_errors=True)
    shutil.rmtree(folder / "images", ignore_errors=True)
    shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True)
    if job.folder is not None:
        shutil.copytree(job.folder, folder / "images" / job.runs[0].dataset)
    YAML().dump(job.params.model_dump(mode="json", by_alias=True), folder / "params.yaml")
    _configure(folder, f"[cache]\n    dir = {cache.resolve()}\n")


def _configure(folder: Path, more: str = "") -> None:
    """Make the folder a DVC repository that is alone: no git around it, no index shared.

    DVC's index of file hashes is a database per repository: with the folder it goes.
    """
    (folder / ".dvc").mkdir(exist_ok=True)
    site = folder.resolve() / ".dvc" / "site"
    core = f"[core]\n    no_scm = true\n    site_cache_dir = {site}\n"
    (folder / ".dvc" / "config.local").write_text(core + more)
