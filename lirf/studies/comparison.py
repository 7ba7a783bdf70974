"""The comparison of methods: means over seeds, an oracle, ratios, verdicts, and their tables.

A *row* is a flat mapping of one trained model: `study, dataset, method, seed, target`, the
metrics, what it was trained on, and the protocol that it was measured by; None is "no value".
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from lirf.measure import table
from lirf.measure.table import STEPS, Metric
from lirf.report import tables
from lirf.report.report import protocol_line
from lirf.report.tables import Row
from lirf.studies.plan import PLACE, Entry, Plan, entries

RAN = ("seconds", "ran", "threads", "instructions", "device", "params", "code", "checked")
"""What says how and by what a row came to be: no number of the model."""

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

    entry: Entry
    rows: Sequence[Row]

    @property
    def seeds(self) -> str:
        """The seeds in order, in words."""
        seeds = sorted(row["seed"] for row in self.rows)
        return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"

    def mean(self, key: str) -> float:
        """Return the mean of a number over seeds; NaN where a seed has none."""
        values = [row[key] for row in self.rows if row.get(key) is not None]
        return fmean(values) if len(values) == len(self.rows) else math.nan

    def deviation(self, key: str) -> float:
        """Return the standard deviation (n - 1) over seeds; 0 of one, or where there is no mean."""
        lone = len(self.rows) < 2 or math.isnan(self.mean(key))
        return 0.0 if lone else stdev(float(row[key]) for row in self.rows)


Summaries = Mapping[tuple[str, str], Mapping[str, Summary]]
"""By study and data set, then by method; every data set of every study is there, if empty."""


def write(rows: Iterable[Row]) -> str:
    """Return rows as tab-separated text, sorted by their places, which come first."""
    rows = sorted(rows, key=lambda row: [row[key] for key in PLACE])
    keys = dict.fromkeys([*PLACE, *(key for row in rows for key in row)])
    return tables.tsv(rows, list(keys), tables.exact)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of what `write` wrote.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        rows = tables.parse(path.read_text())
        if rows and not {*PLACE} <= rows[0].keys():
            raise ValueError(f"line 1 lacks one of {', '.join(PLACE)}")
    except ValueError as error:
        raise ValueError(f"{path}: {error}; `git checkout {path}` restores it") from None
    return rows


def summarise(plan: Plan, rows: Iterable[Row]) -> Summaries:
    """Return every method of `plan` that has rows, and its oracles, in the plan's order."""
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["study"], row["dataset"], row["method"]].append(row)
    found: dict[tuple[str, str], dict[str, Summary]] = {}
    for name, study in plan.studies.items():
        for dataset in study.datasets:
            own = found[name, dataset] = {}
            for entry in entries(study):
                rivals = [groups[name, dataset, method] for method in entry.rivals]
                runs = _best(rivals) if rivals else groups[name, dataset, entry.method]
                if runs:
                    own[entry.method] = Summary(entry, runs)
    return found


def _best(rivals: Iterable[Iterable[Row]]) -> list[Row]:
    """Return an oracle's choice for every seed that all of the rivals have.

    It is the row with the greatest coverage of the held-out images, of equals that of the fewest
    steps: a choice that nobody without held-out images can make. (By the Frechet distance it would
    often be the longest, which memorises: the training images themselves are near in mean and
    covariance.)
    """
    known = [{row["seed"]: row for row in rows} for rows in rivals]
    return [
        min((rows[seed] for rows in known), key=lambda r: (-r["coverage"], r["train_steps"]))
        for seed in known[0]
        if all(seed in rows for rows in known)
    ]


def judge(plan: Plan, summaries: Summaries) -> dict[tuple[str, str], tuple[bool, str]]:
    """Return whether each target is met, and its figure, by its words and data set.

    What does not apply to a data set of the headline study, or lacks a number, is left out.
    """
    found = {}
    for one in plan.targets:
        methods = [plan.judged, *([one.against] if one.against else [])]
        for dataset in one.datasets or plan.studies[plan.headline].datasets:
            known = summaries.get((plan.headline, dataset), {})
            if not known.keys() >= {*methods}:
                continue
            means = [known[method].mean(one.metric) for method in methods]
            if one.heldout:
                means.append(known[plan.judged].mean(one.control))
            if not any(map(math.isnan, means)):
                figure = one.figure(*means)
                found[one.words, dataset] = one.at_least <= figure <= one.at_most, f"{figure:.3g}"
    return found


def headline(plan: Plan, summaries: Summaries) -> str:
    """Write the headline study as Markdown: a table a data set, below them the targets."""
    study = plan.studies[plan.headline]
    parts = _study(plan, summaries, plan.headline)
    if verdicts := judge(plan, summaries):
        cells = {
            key: f"{'met' if met else '**missed**'}: {x}" for key, (met, x) in verdicts.items()
        }
        texts = dict.fromkeys(text for text, _ in cells)
        known = {dataset for _, dataset in cells}
        judged = [dataset for dataset in study.datasets if dataset in known]
        lines = [[text, *(cells.get((text, d), "–") for d in judged)] for text in texts]
        label = next(one.label for one in entries(study) if one.method == plan.judged)
        parts.append(tables.markdown([label, *judged], lines, "l"))
    return "\n\n".join(parts) + "\n"


def ablations(plan: Plan, summaries: Summaries, pictures: str) -> str:
    """Write every other study that has rows as Markdown: its picture and a table a data set.

    `pictures` is the folder of the pictures.
    """
    parts = ["# Ablations"]
    for name, study in plan.studies.items():
        if name != plan.headline and (shown := _study(plan, summaries, name)):
            parts += [f"## {study.title}", f"![{study.title}]({pictures}/{name}.png)", *shown]
    return "\n\n".join(parts) + "\n"


def require_one_protocol(summaries: Summaries, name: str) -> None:
    """Raise ValueError where two rows of a data set were measured by different protocols."""
    first: dict[tuple[str, bool], Row] = {}
    for row in (row for of in summaries.values() for one in of.values() for row in one.rows):
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
        found = list(summaries[name, dataset].values())
        if not found:
            continue
        shown = [one for one in found if not one.entry.is_length]
        if name != plan.headline:
            main = summaries.get((plan.headline, dataset), {})
            shown = [one for method, one in main.items() if method == plan.reference] + found
        most = max(shown, key=lambda one: len(one.rows))
        metrics = (*table.shown(row for one in shown for row in one.rows), STEPS)
        lines = [
            [
                one.entry.label + ("" if one.seeds == most.seeds else f" ({one.seeds})"),
                *(_cell(one, metric) for metric in metrics),
            ]
            for one in shown
        ]
        parts += [
            f"**{dataset}**",
            tables.markdown(["", *(metric.head for metric in metrics)], lines),
            f"Mean{' ± standard deviation' * (len(most.rows) > 1)} over {most.seeds}.",
            _protocol([row for one in found for row in one.rows]),
        ]
    return parts


def _cell(summary: Summary, metric: Metric) -> str:
    mean, deviation = summary.mean(metric.key), summary.deviation(metric.key)
    spread = f" ± {deviation:{metric.form}}" if deviation else ""
    return "–" if math.isnan(mean) else f"{mean:{metric.form}}{spread}"


def _protocol(rows: Sequence[Row]) -> str:
    """Say how rows of one protocol were obtained, by which code, and how that was checked."""

    def named(key: str, rows: Iterable[Row] = rows) -> str:
        return ", ".join(sorted({str(row.get(key) or "not recorded") for row in rows}))

    shown = next((row for row in rows if row["generator"] == "network"), rows[0])
    line = protocol_line({**shown, "seed": shown["evaluate_seed"]})
    encoders = len({row["autoencoder"] for row in rows})
    if encoders > 1:
        line = f"{line.rpartition('; autoencoder')[0]}; {encoders} autoencoders."
    codes = [
        f"{target}: {named('code', [row for row in rows if row['target'] == target])}"
        for target in sorted({row["target"] for row in rows})
    ]
    checks = [row for row in rows if row.get("checked")]
    checked = f" Of other code, and the same to the bit: {named('checked', checks)}." * bool(checks)
    return (
        f"{line} Code: {'; '.join(codes)}. Threads: {named('threads')}."
        f" Instructions: {named('instructions')}.{checked}"
    )
