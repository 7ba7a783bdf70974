"""Pictures of the comparison: memorised against Frechet distance, and every ablation's curves."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lirf.report.report import BASELINE, COLUMNS, GREY, LOOP, SHARES, Column, drawing
from lirf.studies import comparison
from lirf.studies.comparison import Row, Summaries, Summary
from lirf.studies.plan import ORACLE, Plan, Study, entries

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (LOOP, BASELINE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222")
"""Of the Okabe-Ito palette, like those of the report."""

MARKERS = "^vsPX<>"
DOT: dict[str, Any] = {"color": "#B0B0B0", "markersize": 3.5, "linestyle": "none", "marker": "o"}
WRAP = 26  # characters of a label's line


def tradeoff(plan: Plan, rows: Sequence[Row], path: Path) -> None:
    """Draw a panel a data set: memorised over the Frechet distance, the lower left is best.

    A curve of the reference over its steps; a point with the standard deviation over seeds for
    every other method; a grey dot for every ablation.
    """
    summaries = comparison.summarise(plan, rows)
    found = plan.studies[plan.headline].datasets
    datasets = [d for d in found if comparison.of(plan, summaries, plan.headline, d)]
    with drawing(path, 6.2 * max(len(datasets), 1), 6.2) as figure:
        panels = figure.subplots(1, max(len(datasets), 1), squeeze=False)[0]
        for axes, dataset in zip(panels, datasets, strict=False):
            _panel(axes, plan, summaries, dataset)
        panels[0].set_ylabel("share of samples that are memorised")
        own = [axes.get_legend_handles_labels() for axes in panels]
        handles = {label: one for pair in own for one, label in zip(*pair, strict=True)}
        figure.legend(
            handles.values(), handles, loc="outside lower left", ncols=2, frameon=False, fontsize=9
        )


def _panel(axes: Axes, plan: Plan, summaries: Summaries, dataset: str) -> None:
    """Draw one data set."""
    others = [s for (n, d, _), s in summaries.items() if d == dataset and n != plan.headline]
    for number, summary in enumerate(others):
        axes.plot(*_place(summary), **DOT, label="" if number else "an ablation")
    shown = comparison.of(plan, summaries, plan.headline, dataset)
    curve = [one for one in shown if one[0].is_length or one[0].method == plan.reference]
    points = np.array(sorted((s.mean("train_steps"), *_place(s)) for _, s in curve)).reshape(-1, 3)
    label = f"{plan.studies[plan.headline].rows[plan.reference].label}, by its steps"
    axes.plot(*points.T[1:], "o-", color=BASELINE, markersize=4, label=label)
    note: dict[str, Any] = {"textcoords": "offset points", "color": BASELINE, "fontsize": 9}
    for steps, x, y in points[np.isfinite(points).all(axis=1)]:
        axes.annotate(f"{steps:.0f}", (x, y), (5, 4), **note)
    rest = [one for one in shown if one not in curve and one[0].method != ORACLE]
    colours = itertools.cycle(COLOURS[2:])
    for marker, (entry, summary) in zip(itertools.cycle(MARKERS), rest, strict=False):
        if not np.isfinite(_place(summary)).all():
            continue
        own = entry.method == plan.judged
        style: dict[str, Any] = {"color": LOOP if own else next(colours), "label": entry.label}
        bars = summary.deviation("memorised"), summary.deviation("frechet")
        axes.errorbar(*_place(summary), *bars, fmt="D" if own else marker, capsize=2, **style)
    axes.set_title(dataset, loc="left", fontweight="bold")
    axes.set_xlabel("Frechet distance to the held-out images")
    axes.set_xlim(left=0)
    axes.set_ylim(-0.04 * axes.get_ylim()[1])


def ablation(plan: Plan, name: str, rows: Sequence[Row], path: Path) -> None:
    """Draw every metric over the rows of study `name`, a line a data set.

    Error bars are standard deviations over seeds; dashed, the reference of the headline study.
    """
    summaries = comparison.summarise(plan, rows)
    study = plan.studies[name]
    ticks = _ticks(study)
    wide = sum(map(len, ticks)) > 34
    columns = [column for column in COLUMNS if column.key not in ("vendi", "bank_rows")]
    with drawing(path, 11, 6 + 0.06 * max(map(len, ticks)) * wide) as figure:
        grid = figure.subplots(2, 3, sharex=True)
        for axes, column in zip(grid.flat, columns, strict=True):
            _metric(axes, plan, name, summaries, column)
            axes.set_xticks(range(len(ticks)), ticks, rotation=90 if wide else 0)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        handles += grid.flat[0].plot([], color=GREY, linestyle="--", linewidth=1)
        labels += [plan.studies[plan.headline].rows[plan.reference].label]
        figure.suptitle(study.title, x=0.01, ha="left", fontsize=12)
        figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False)


def _metric(axes: Axes, plan: Plan, name: str, summaries: Summaries, column: Column) -> None:
    """Draw one metric of an ablation."""
    study = plan.studies[name]
    methods = [entry.method for entry in entries(study) if entry.method != ORACLE]
    highest = [0.0]
    for dataset, colour in zip(study.datasets, COLOURS, strict=False):
        found = [summaries.get((name, dataset, method), Summary(())) for method in methods]
        y = np.array([one.mean(column.key) for one in found])
        bars = np.array([one.deviation(column.key) for one in found])
        form = "o-" if _is_grid(study) else "o"
        axes.errorbar(range(len(y)), y, bars, fmt=form, capsize=2, color=colour, label=dataset)
        reference = summaries.get((plan.headline, dataset, plan.reference), Summary(()))
        axes.axhline(reference.mean(column.key), color=colour, linestyle="--", linewidth=1)
        highest += [*(y + bars), reference.mean(column.key)]
    top = np.nanmax(highest) * 1.1 or 1.0
    axes.set_ylim(0, min(top, 1.03) if column.key in SHARES else top)
    axes.set_title(column.head, loc="left", fontweight="bold")
    axes.margins(x=0.08)


def _is_grid(study: Study) -> bool:
    """Return whether the rows are the values of one grid, and so in an order."""
    return len(study.rows) == 1 and len(next(iter(study.rows.values())).grid) == 1


def _ticks(study: Study) -> list[str]:
    """Return what stands below the points of a study: only the values where rows are one grid."""
    shown = [entry for entry in entries(study) if entry.method != ORACLE]
    if _is_grid(study):
        return [entry.method.removeprefix(f"{next(iter(study.rows))}-") for entry in shown]
    return [textwrap.fill(entry.label, WRAP) for entry in shown]


def _place(summary: Summary) -> tuple[float, float]:
    return summary.mean("frechet"), summary.mean("memorised")
