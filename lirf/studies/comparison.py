"""The comparison of methods: means over seeds, an oracle, ratios, verdicts, and their tables.

A *row* is a flat mapping of one trained model: `study, dataset, method, seed, target`, the
metrics, what it was trained on, and the protocol that it was measured by; None is "no value".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from lirf.report import tables
from lirf.report.report import COLUMNS, Column, protocol_line
from lirf.studies.plan import ORACLE, Entry, Plan, entries

Row = Mapping[str, Any]

PLACE = ("study", "dataset", "method", "seed")
"""What tells the rows of a table apart."""

RAN = ("seconds", "ran", "threads", "instructions", "device", "params", "code", "checked")
"""What says how and by what a row came to be: no number of the model."""

SHOWN = (*COLUMNS, Column("train_steps", "steps", ".0f", "", "optimiser steps in all"))
PROTOCOL = (
    "n_fake", "n_train", "n_reference", "reference", "flip", "features", "feature_hash",
    "neighbours", "resolution", "resize", "evaluate_seed", "images",
)  # fmt: skip
"""What must be equal for two rows of a data set to be comparable; an ablation may change the
autoencoder, which is named."""

SOLVER = ("solver", "solver_steps", "atol", "rtol", "mixup_neighbours")
"""What must be equal too where samples come from the same kind of generator."""


@dataclass(frozen=True)
class Summary:
    """A method on a data set: its rows, one a seed."""

    rows: tuple[Row, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds in order."""
        return tuple(sorted(row["seed"] for row in self.rows))

    def mean(self, key: str) -> float:
        """Return the mean of a number over seeds; NaN where there is no seed or one has none."""
        values = [row[key] for row in self.rows if row.get(key) is not None]
        return fmean(values) if values and len(values) == len(self.rows) else math.nan

    def deviation(self, key: str) -> float:
        """Return the standard deviation (n - 1) over seeds; 0 of one, or where there is no mean."""
        lone = len(self.rows) < 2 or math.isnan(self.mean(key))
        return 0.0 if lone else stdev(float(row[key]) for row in self.rows)


Summaries = Mapping[tuple[str, str, str], Summary]
"""By study, data set and method."""


def tidy(rows: Iterable[Row]) -> str:
    """Write rows as tab-separated text, sorted, under their keys in order of appearance."""
    rows = sorted(rows, key=lambda row: [row[key] for key in PLACE])
    keys = dict.fromkeys([*PLACE, *(key for row in rows for key in row)])
    lines = ["\t".join(keys), *("\t".join(_write(row.get(key)) for key in keys) for row in rows)]
    return "\n".join(lines) + "\n"


def parse(text: str, name: str) -> list[dict[str, Any]]:
    """Read what `tidy` wrote.

    Raises:
        ValueError: one line, begun by `name`: a line has too few or too many cells.
    """
    keys, *lines = (line.split("\t") for line in text.split("\n")[:-1])
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(keys) or not {*PLACE} <= {*keys}:
            raise ValueError(f"{name}: line {number} is damaged; `git checkout {name}` restores it")
    return [dict(zip(keys, map(_parse, cells), strict=True)) for cells in lines]


def planned(plan: Plan, rows: Iterable[Row]) -> list[Row]:
    """Return the rows that `plan` asks for, study by study."""
    known = {
        name: {entry.method for entry in entries(study)} - {ORACLE}
        for name, study in plan.studies.items()
    }
    rows = [row for row in rows if row["method"] in known.get(row["study"], ())]
    return sorted(rows, key=lambda row: list(known).index(row["study"]))


def with_oracles(plan: Plan, rows: Iterable[Row]) -> list[Row]:
    """Return the rows of `plan`, and an oracle's for every seed that has all lengths.

    The oracle is the row with the greatest coverage of the held-out images among a method and the
    same method at other lengths, the shortest of equals: a choice that nobody without held-out
    images can make. (By the Frechet distance it would often be the longest, which memorises: the
    training images themselves are near in mean and covariance.)
    """
    found = planned(plan, rows)
    for name, study in plan.studies.items():
        of = {row.oracle_of for row in study.rows.values() if row.oracle_of}
        own = [entry for entry in entries(study) if entry.method != ORACLE]
        lengths = {e.method for e in own if (e.row.oracle_of or e.method) in of}
        choices: dict[tuple[str, int], list[Row]] = {}
        for row in found:
            if row["study"] == name and row["method"] in lengths:
                choices.setdefault((row["dataset"], row["seed"]), []).append(row)
        found += [
            {**min(rivals, key=lambda r: (-r["coverage"], r["train_steps"])), "method": ORACLE}
            for rivals in choices.values()
            if len(rivals) == len(lengths)
        ]
    return found


def summarise(plan: Plan, rows: Iterable[Row]) -> Summaries:
    """Return a summary of every method of `plan` and its oracles, in order of appearance."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in with_oracles(plan, rows):
        groups.setdefault((row["study"], row["dataset"], row["method"]), []).append(row)
    return {place: Summary(tuple(group)) for place, group in groups.items()}


def of(plan: Plan, summaries: Summaries, study: str, dataset: str) -> list[tuple[Entry, Summary]]:
    """Return the methods of a study that have rows on a data set, in the order of the plan."""
    places = [(entry, (study, dataset, entry.method)) for entry in entries(plan.studies[study])]
    return [(entry, summaries[place]) for entry, place in places if place in summaries]


def judge(plan: Plan, summaries: Summaries) -> dict[tuple[str, str], tuple[bool, str]]:
    """Return whether each target and contest is met, and its figures, by its words and data set.

    What does not apply to a data set of the headline study, or lacks a number, is left out.
    """
    found = {}
    for one in (*plan.targets, *plan.contests):
        for dataset in one.datasets or plan.studies[plan.headline].datasets:
            means = [
                summaries.get((plan.headline, dataset, method), Summary(())).mean(metric)
                for metric in one.on
                for method in (plan.judged, one.against)
                if method is not None
            ]
            if not any(map(math.isnan, means)):
                found[one.words, dataset] = one.met(means)
    return found


def headline(plan: Plan, rows: Sequence[Row]) -> str:
    """Write the headline study as Markdown: a table a data set, below them the targets."""
    summaries = summarise(plan, rows)
    parts = _study(plan, summaries, plan.headline)
    if verdicts := judge(plan, summaries):
        datasets = plan.studies[plan.headline].datasets
        words = {
            key: f"{'met' if met else '**missed**'}: {x}" for key, (met, x) in verdicts.items()
        }
        texts = dict.fromkeys(text for text, _ in words)
        lines = [[text, *(words.get((text, d), "–") for d in datasets)] for text in texts]
        judged = next(e for e in entries(plan.studies[plan.headline]) if e.method == plan.judged)
        parts.append(tables.markdown([judged.label, *datasets], lines, "l"))
    return "\n\n".join(parts) + "\n"


def ablations(plan: Plan, rows: Sequence[Row], pictures: str) -> str:
    """Write every other study that has rows as Markdown: its picture and a table a data set.

    `pictures` is the folder of the pictures.
    """
    summaries = summarise(plan, rows)
    parts = ["# Ablations"]
    for name, study in plan.studies.items():
        if name != plan.headline and (tables := _study(plan, summaries, name)):
            picture = f"![{study.title}]({pictures}/{name}.png)"
            parts += [f"## {study.title}", picture, *tables]
    return "\n\n".join(parts) + "\n"


def require_one_protocol(rows: Sequence[Row], name: str) -> None:
    """Raise ValueError where two rows of a data set were measured by different protocols."""
    first: dict[tuple[str, bool], Row] = {}
    for row in rows:
        drawn = row["generator"] == "network"
        other = first.setdefault((row["dataset"], drawn), row)
        for key in (*PROTOCOL, *SOLVER) if drawn else PROTOCOL:
            if row.get(key) != other.get(key):
                which, than = ("/".join(str(r[k]) for k in PLACE) for r in (row, other))
                raise ValueError(
                    f"{name}: {which}: {key} is {row.get(key)}, but {other.get(key)} in {than};"
                    " run `python -m pipeline.comparison` to bring both up to date"
                )


def _study(plan: Plan, summaries: Summaries, name: str) -> list[str]:
    """Return the tables of a study, a data set's with its seeds and its protocol below.

    Of the headline study without the lengths; each other one's open with its reference.
    """
    parts = []
    for dataset in plan.studies[name].datasets:
        found = of(plan, summaries, name, dataset)
        if not found:
            continue
        shown = [pair for pair in found if not pair[0].is_length]
        if name != plan.headline:
            main = of(plan, summaries, plan.headline, dataset)
            shown = [pair for pair in main if pair[0].method == plan.reference] + found
        seeds = max((summary.seeds for _, summary in shown), key=len)
        lines = [
            [
                entry.label + ("" if summary.seeds == seeds else f" ({_seeds(summary.seeds)})"),
                *(_cell(summary, column) for column in SHOWN),
            ]
            for entry, summary in shown
        ]
        parts += [
            f"**{dataset}**",
            tables.markdown(["", *(column.head for column in SHOWN)], lines),
            f"Mean{' ± standard deviation' * (len(seeds) > 1)} over {_seeds(seeds)}.",
            _protocol([row for _, summary in found for row in summary.rows]),
        ]
    return parts


def _cell(summary: Summary, column: Column) -> str:
    mean, deviation = summary.mean(column.key), summary.deviation(column.key)
    spread = f" ± {deviation:{column.form}}" if deviation else ""
    return "–" if math.isnan(mean) else f"{mean:{column.form}}{spread}"


def _protocol(rows: Sequence[Row]) -> str:
    """Say how rows of one protocol were obtained, by which code, and how that was checked."""

    def named(key: str, rows: Iterable[Row] = rows) -> str:
        return ", ".join(sorted({str(row.get(key) or "not recorded") for row in rows}))

    shown = next((row for row in rows if row["generator"] == "network"), rows[0])
    line = protocol_line({**shown, "seed": shown["evaluate_seed"]})
    encoders = len({row["autoencoder"] for row in rows})
    if encoders > 1:
        line = f"{line.rpartition('; autoencoder')[0]}; {encoders} autoencoders."
    targets = sorted({row["target"] for row in rows})
    codes = [
        f"{name}: {named('code', [r for r in rows if r['target'] == name])}" for name in targets
    ]
    checks = [row for row in rows if row.get("checked")]
    checked = f" Of other code, and the same to the bit: {named('checked', checks)}." * bool(checks)
    return (
        f"{line} Code: {'; '.join(codes)}. Threads: {named('threads')}."
        f" Instructions: {named('instructions')}.{checked}"
    )


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _write(value: Any) -> str:
    """Write a cell: JSON, without the quotes where text without them is read as text."""
    if value is None:
        return ""
    bare = isinstance(value, str) and value.isprintable() and _parse(value) == value
    return value if bare else json.dumps(value)


def _parse(cell: str) -> Any:
    try:
        return json.loads(cell) if cell else None
    except ValueError:
        return cell
