"""The rows of a comparison on disk, and what a second run of them says of the code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lirf.studies import comparison
from lirf.studies.plan import PLACE, Run
from pipeline.comparison.jobs import Job


@dataclass
class Table:
    """The rows at `path` by their places."""

    path: Path
    rows: dict[tuple[Any, ...], dict[str, Any]]

    @classmethod
    def load(cls, path: Path) -> Table:
        """Read the table, empty where there is none.

        Raises:
            ValueError: the file is damaged.
        """
        rows = comparison.read(path) if path.exists() else []
        return cls(path, {tuple(row[key] for key in PLACE): row for row in rows})

    def find(self, job: Job) -> dict[str, Any] | None:
        """Return a row of the same model, whichever study it was made for."""
        return next((row for row in self.rows.values() if job.made(row)), None)

    def state(self, job: Job, run: Run) -> str:
        """Return whether the row of `run` is there, stale or missing."""
        row = self.rows.get(run.place)
        return "missing" if row is None else "there" if job.made(row) else "stale"

    def put(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write `rows` in the place of what stood there, and the whole table to disk.

        What another hand has written since the table was read stays.

        Raises:
            ValueError: the file is damaged.
        """
        self.rows = Table.load(self.path).rows
        self.rows |= {tuple(row[key] for key in PLACE): row for row in rows}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.partial")
        partial.write_text(comparison.write(self.rows.values()))
        partial.replace(self.path)


def check(
    table: Table, every: Iterable[Job], again: Iterable[Job], found: Mapping[str, dict[str, Any]]
) -> bool:
    """Compare what was run again with its rows to the bit; restamp the rows of code that agrees.

    A row is restamped if every row of its target and code that was run again gave the recorded
    numbers, and its images and params are those of the plan. It keeps its numbers, and `checked`
    says of which code they are and which rows were run again. Returns whether all agreed.

    Args:
        table: what was recorded.
        every: all jobs of the plan.
        again: those that were run again.
        found: what came out of them, by the names of jobs.
    """
    families: dict[tuple[str, str], dict[str, bool]] = {}
    for job, run in _runs(again):
        if row := table.rows.get(run.place):
            own = found[job.name]
            keys = sorted((row.keys() | own.keys()).difference(comparison.RAN, job.identity, PLACE))
            differ = [key for key in keys if repr(row.get(key)) != repr(own.get(key))]
            told = [f"{key} is {own.get(key)}, recorded {row.get(key)}" for key in differ]
            say(f"{run}: {'; '.join(told) or 'the recorded numbers, to the bit'}")
            families.setdefault((row["target"], row["code"]), {})[str(run)] = not differ
    for (target, code), agreed in families.items():
        stays = "rows stay as they are"
        if all(agreed.values()):
            how = f"{code} by {', '.join(sorted(agreed))}"
            stays = f"{_restamp(table, every, target, code, how)} rows restamped"
        say(f"{target} {code}: {stays}")
    return bool(families) and all(all(agreed.values()) for agreed in families.values())


def _restamp(table: Table, every: Iterable[Job], target: str, code: str, how: str) -> int:
    """Give rows of one target and code the fingerprints of this code; return how many."""
    fresh = []
    for job, run in _runs(every):
        row = table.rows.get(run.place)
        if row is None or (row["target"], row["code"]) != (target, code):
            continue
        images = row["images"] if job.folder is None else job.identity["images"]
        if row["images"] != images or row["params"] not in (job.identity["params"], job.recorded):
            say(f"{run}: other images or params, stays stale")
        elif code != job.identity["code"]:
            checked = "; ".join(filter(None, [row.get("checked"), how]))
            own = replace(job, identity={**job.identity, "images": images}, runs=[run])
            fresh += own.rows({**row, "checked": checked})
    table.put(fresh)
    return len(fresh)


def say(line: str) -> None:
    """Tell whoever waits at the terminal."""
    print(line, flush=True)  # noqa: T201


def _runs(jobs: Iterable[Job]) -> list[tuple[Job, Run]]:
    return [(job, run) for job in jobs for run in job.runs]
