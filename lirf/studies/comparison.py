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

from lirf.report.report import COLUMNS, Column, protocol_line
from lirf.studies.plan import METRICS, ORACLE, Contest, Entry, Plan, Study, Target, entries

Row = Mapping[str, Any]

KEY = ("study", "dataset", "method", "seed", "target")
MEASURED = (*METRICS, "frechet_reason", "bank_rows", "admitted", "train_steps", "seconds", "ran")
LAST = ("threads", "instructions", "device", "images", "params", "code")
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
    """A method on a data set: mean and standard deviation (n - 1) of every number over seeds.

    None where a seed has no value, and for the deviation of a single seed.
    """

    study: str
    dataset: str
    method: str
    seeds: tuple[int, ...]
    mean: Mapping[str, float | None]
    deviation: Mapping[str, float | None]


@dataclass(frozen=True)
class Verdict:
    """Whether a target is met on a data set; None where it does not apply or a row is missing."""

    text: str
    dataset: str
    met: bool | None
    figure: str


def tidy(rows: Iterable[Row]) -> str:
    """Write rows as tab-separated text: sorted, the same rows give the same bytes."""
    rows = sorted(rows, key=lambda row: [row[key] for key in KEY])
    known = {*KEY, *MEASURED, *LAST}
    others = sorted({key for row in rows for key in row} - known)
    keys = [*KEY, *MEASURED, *others, *LAST]
    lines = ["\t".join(keys), *("\t".join(_write(row.get(key)) for key in keys) for row in rows)]
    return "\n".join(lines) + "\n"


def parse(text: str, name: str) -> list[dict[str, Any]]:
    """Read what `tidy` wrote.

    Raises:
        ValueError: one line, begun by `name`: a line has too few or too many cells.
    """
    header, *lines = text.split("\n")[:-1] or [""]
    keys, rows = header.split("\t"), []
    for number, line in enumerate(lines, start=2):
        cells = line.split("\t")
        if len(cells) != len(keys) or not {*KEY} <= {*keys}:
            raise ValueError(f"{name}: line {number} is damaged; `git checkout {name}` restores it")
        rows.append(dict(zip(keys, map(_parse, cells), strict=True)))
    return rows


def summarise(rows: Iterable[Row]) -> list[Summary]:
    """Return a summary for every (study, dataset, method), in order of appearance."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["study"], row["dataset"], row["method"]), []).append(row)
    numbers = [key for key in MEASURED if key not in ("frechet_reason", "ran")]
    found = []
    for (study, dataset, method), group in groups.items():
        values = {key: [row.get(key) for row in group] for key in numbers}
        whole = {key: [float(v) for v in column if v is not None] for key, column in values.items()}
        complete = {key: len(column) == len(group) for key, column in whole.items()}
        found.append(
            Summary(
                study,
                dataset,
                method,
                tuple(sorted(row["seed"] for row in group)),
                {key: fmean(whole[key]) if complete[key] else None for key in numbers},
                {
                    key: stdev(whole[key]) if complete[key] and len(group) > 1 else None
                    for key in numbers
                },
            )
        )
    return found


def planned(plan: Plan, rows: Iterable[Row]) -> list[Row]:
    """Return the rows that `plan` asks for, study by study."""
    known = {
        name: {entry.method for entry in entries(study)} - {ORACLE}
        for name, study in plan.studies.items()
    }
    rows = [row for row in rows if row["method"] in known.get(row["study"], ())]
    order = list(known)
    return sorted(rows, key=lambda row: order.index(row["study"]))


def with_oracles(plan: Plan, rows: Iterable[Row]) -> list[Row]:
    """Return the rows of `plan`, and an oracle's for every seed that has all lengths.

    The oracle is the row with the greatest coverage of the held-out images among a method and the
    same method at other lengths, the shortest of equals: a choice that nobody without held-out
    images can make. (By the Frechet distance it would often be the longest, which copies: the
    training images themselves are near in mean and covariance.)
    """
    found = planned(plan, rows)
    for name, study in plan.studies.items():
        lengths = _lengths(study)
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


def _lengths(study: Study) -> set[str]:
    """Return the methods among which the oracle of `study` chooses."""
    of = {row.oracle_of for row in study.rows.values() if row.oracle_of}
    return {
        entry.method
        for entry in entries(study)
        if entry.method != ORACLE and (entry.row.oracle_of or entry.method) in of
    }


def ratio(value: float, reference: float) -> float:
    """Return value / reference; 1 where both are zero, infinite where only the latter is."""
    if reference == 0:
        return 1.0 if value == 0 else math.inf
    return value / reference


def judge(plan: Plan, summaries: Iterable[Summary]) -> list[Verdict]:
    """Return a verdict for every target and contest on every data set of the headline study."""
    means = {(s.dataset, s.method): s.mean for s in summaries if s.study == plan.headline}
    datasets = plan.studies[plan.headline].datasets
    return [
        *(_judge(plan, target, dataset, means) for target in plan.targets for dataset in datasets),
        *(_contest(plan, one, dataset, means) for one in plan.contests for dataset in datasets),
    ]


def _judge(plan: Plan, target: Target, dataset: str, means: Mapping[Any, Any]) -> Verdict:
    text = _text(target)
    if target.datasets is not None and dataset not in target.datasets:
        return Verdict(text, dataset, None, "")
    methods = [plan.judged, *([target.against] if target.against else [])]
    values = [means.get((dataset, method), {}).get(target.metric) for method in methods]
    if any(value is None for value in values):
        return Verdict(text, dataset, None, "")
    if target.distance_from is not None:
        values = [abs(value - target.distance_from) for value in values]
    figure = ratio(*values) if target.against else values[0]
    met = (target.at_least is None or figure >= target.at_least) and (
        target.at_most is None or figure <= target.at_most
    )
    return Verdict(text, dataset, met, f"{figure:.3g}")


def _contest(plan: Plan, contest: Contest, dataset: str, means: Mapping[Any, Any]) -> Verdict:
    better = {column.key: column.better for column in COLUMNS}
    text = f"better than {contest.against} in {' and '.join(contest.on)} together"
    won, figures = [], []
    for metric in contest.on:
        own, other = (
            means.get((dataset, method), {}).get(metric)
            for method in (plan.judged, contest.against)
        )
        if own is None or other is None:
            return Verdict(text, dataset, None, "")
        figures.append(f"{own:.3g} to {other:.3g}")
        if better[metric] == "nearer to 1":
            own, other = -abs(own - 1), -abs(other - 1)
        won.append(own < other if better[metric] == "lower" else own > other)
    return Verdict(text, dataset, all(won), ", ".join(figures))


def _text(target: Target) -> str:
    """Say in words what is to be reached."""
    start = target.metric
    if target.distance_from is not None:
        start = f"distance of {start} from {target.distance_from:g}"
    if target.against:
        start += f" relative to {target.against}"
    ends = [
        f"{sign} {bound:g}"
        for sign, bound in (("≥", target.at_least), ("≤", target.at_most))
        if bound is not None
    ]
    return f"{start} {' and '.join(ends)}"


def headline(plan: Plan, rows: Sequence[Row]) -> str:
    """Write the headline study as Markdown: a table a data set, below them the targets."""
    rows = with_oracles(plan, rows)
    summaries = summarise(rows)
    shown = [e for e in entries(plan.studies[plan.headline]) if not is_length(e)]
    parts = []
    for dataset in plan.studies[plan.headline].datasets:
        found = of(summaries, plan.headline, dataset)
        if found:
            own = [r for r in rows if r["study"] == plan.headline and r["dataset"] == dataset]
            table = _table([(e.label, found[e.method]) for e in shown if e.method in found])
            parts.append(f"**{dataset}**\n\n{table}\n\n{_protocol(own)}")
    verdicts = judge(plan, summaries)
    if any(verdict.met is not None for verdict in verdicts):
        parts.append(_verdicts(plan, verdicts))
    return "\n\n".join(parts) + "\n"


def ablations(plan: Plan, rows: Sequence[Row], pictures: str) -> str:
    """Write every other study as Markdown: its picture and a table a data set.

    The reference of the headline study opens each. `pictures` is the folder of the pictures.
    """
    rows = with_oracles(plan, rows)
    summaries = summarise(rows)
    parts = ["# Ablations"]
    for name, study in plan.studies.items():
        if name == plan.headline or not any(s.study == name for s in summaries):
            continue
        parts.append(f"## {study.title}\n\n![{study.title}]({pictures}/{name}.png)")
        for dataset in study.datasets:
            found = of(summaries, name, dataset)
            if not found:
                continue
            first = of(summaries, plan.headline, dataset).get(plan.reference)
            title = plan.studies[plan.headline].rows[plan.reference].label
            lines = [(title, first)] if first else []
            lines += [(e.label, found[e.method]) for e in entries(study) if e.method in found]
            own = [r for r in rows if r["study"] == name and r["dataset"] == dataset]
            parts.append(f"**{dataset}**\n\n{_table(lines)}\n\n{_protocol(own)}")
    return "\n\n".join(parts) + "\n"


def require_one_protocol(rows: Sequence[Row], name: str) -> None:
    """Raise ValueError where two rows of a data set were measured by different protocols."""
    first: dict[tuple[str, bool], Row] = {}
    for row in rows:
        drawn = row["generator"] == "network"
        other = first.setdefault((row["dataset"], drawn), row)
        for key in (*PROTOCOL, *SOLVER) if drawn else PROTOCOL:
            if row.get(key) != other.get(key):
                which, than = ("/".join(str(r[k]) for k in KEY[:4]) for r in (row, other))
                raise ValueError(
                    f"{name}: {which}: {key} is {row.get(key)}, but {other.get(key)} in {than};"
                    " run `python -m pipeline.comparison` to bring both up to date"
                )


def is_length(entry: Entry) -> bool:
    """Return whether `entry` is only there for the oracle to choose."""
    return entry.row.oracle_of is not None and entry.method != ORACLE


def of(summaries: Iterable[Summary], study: str, dataset: str) -> dict[str, Summary]:
    """Return the summaries of a study on a data set by their methods."""
    return {s.method: s for s in summaries if s.study == study and s.dataset == dataset}


def _table(lines: Sequence[tuple[str, Summary]]) -> str:
    seeds = max((summary.seeds for _, summary in lines), key=len)
    text = [
        "| " + " | ".join(["", *(c.head for c in SHOWN)]) + " |",
        "|---" + "|---:" * len(SHOWN) + "|",
    ]
    for label, summary in lines:
        note = "" if summary.seeds == seeds else f" ({_seeds(summary.seeds)})"
        cells = [_cell(summary, column) for column in SHOWN]
        text.append("| " + " | ".join([label + note, *cells]) + " |")
    spread = " ± standard deviation" if len(seeds) > 1 else ""
    return "\n".join(text) + f"\n\nMean{spread} over {_seeds(seeds)}."


def _cell(summary: Summary, column: Column) -> str:
    mean, deviation = summary.mean[column.key], summary.deviation[column.key]
    if mean is None:
        return "–"
    spread = f" ± {format(deviation, column.form)}" if deviation else ""
    return format(mean, column.form) + spread


def _protocol(rows: Sequence[Row]) -> str:
    """Say how rows of one protocol were obtained, and by which code."""
    encoders = sorted({str(row["autoencoder"]) for row in rows})
    shown = next((row for row in rows if row["generator"] == "network"), rows[0])
    line = protocol_line({**shown, "seed": shown["evaluate_seed"]})
    if len(encoders) > 1:
        line = f"{line.rpartition('; autoencoder')[0]}; {len(encoders)} autoencoders."
    codes = {row["target"]: set[str]() for row in rows}
    for row in rows:
        codes[row["target"]].add(str(row["code"])[:12])
    code = "; ".join(f"{target}: {', '.join(sorted(codes[target]))}" for target in sorted(codes))
    machine = [
        f"{title}: {', '.join(sorted({str(row.get(key) or 'not recorded') for row in rows}))}."
        for title, key in (("Threads", "threads"), ("Instructions", "instructions"))
    ]
    return f"{line} Code: {code}. {' '.join(machine)}"


def _verdicts(plan: Plan, verdicts: Sequence[Verdict]) -> str:
    datasets = plan.studies[plan.headline].datasets
    cells = {(v.text, v.dataset): v for v in verdicts if v.met is not None}
    label = next(e.label for e in entries(plan.studies[plan.headline]) if e.method == plan.judged)
    lines = [f"| {label} | " + " | ".join(datasets) + " |", "|---" * (len(datasets) + 1) + "|"]
    for text in dict.fromkeys(verdict.text for verdict in verdicts):
        row = [cells.get((text, dataset)) for dataset in datasets]
        if any(row):
            words = [f"{'met' if v.met else '**missed**'}: {v.figure}" if v else "–" for v in row]
            lines.append(f"| {text} | " + " | ".join(words) + " |")
    return "\n".join(lines)


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _write(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str():
            plain = value.isprintable() and not value.startswith('"')
            return value if plain and _parse(value) == value else json.dumps(value)
        case _:
            return repr(value)


def _parse(cell: str) -> Any:
    """Return what `_write` wrote: text that could be something else is in quotes."""
    if cell.startswith('"'):
        return json.loads(cell)
    if cell in ("", "true", "false"):
        return {"": None, "true": True, "false": False}[cell]
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell
