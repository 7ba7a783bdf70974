"""Pictures of the comparison: memorised against Frechet distance, and every ablation's curves."""

from __future__ import annotations

import itertools
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lirf.measure.table import Metric, shown
from lirf.report.style import BASELINE, GREY, LOOP, drawing
from lirf.studies.comparison import Summaries, Summary
from lirf.studies.plan import Entry, Plan, entries

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (LOOP, BASELINE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222")
"""Of the Okabe-Ito palette, like those of the report."""

MARKERS = "^vsPX<>"
DOT: dict[str, Any] = {"color": "#B0B0B0", "markersize": 3.5, "linestyle": "none", "marker": "o"}
ACROSS = 3  # metrics of an ablation beside one another
WRAP = 26  # characters of a label's line


def tradeoff(plan: Plan, summaries: Summaries, path: Path) -> None:
    """Draw a panel a data set: memorised over the Frechet distance, the lower left is best.

    A curve of the reference over its steps; a point with the standard deviation over seeds for
    every other method; a grey dot for every ablation.
    """
    found = plan.studies[plan.headline].datasets
    datasets = [dataset for dataset in found if summaries[plan.headline, dataset]]
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
    others = [m for (name, d), m in summaries.items() if d == dataset and name != plan.headline]
    for number, one in enumerate(one for methods in others for one in methods.values()):
        axes.plot(*_place(one), **DOT, label="" if number else "an ablation")
    shown = [one for one in summaries[plan.headline, dataset].values() if not one.entry.rivals]
    curve = [one for one in shown if one.entry.is_length or one.entry.method == plan.reference]
    points = np.array(sorted((one.mean("train_steps"), *_place(one)) for one in curve))
    label = f"{plan.studies[plan.headline].rows[plan.reference].label}, by its steps"
    axes.plot(*points.reshape(-1, 3).T[1:], "o-", color=BASELINE, markersize=4, label=label)
    note: dict[str, Any] = {"textcoords": "offset points", "color": BASELINE, "fontsize": 9}
    for steps, x, y in points[np.isfinite(points).all(axis=-1)]:
        axes.annotate(f"{steps:.0f}", (x, y), (5, 4), **note)
    rest = [one for one in shown if one not in curve]
    colours = itertools.cycle(COLOURS[2:])
    for marker, one in zip(itertools.cycle(MARKERS), rest, strict=False):
        if np.isfinite(_place(one)).all():
            own = one.entry.method == plan.judged
            bars = one.deviation("memorised"), one.deviation("frechet")
            style: dict[str, Any] = {"color": LOOP if own else next(colours)}
            style |= {"fmt": "D" if own else marker, "label": one.entry.label, "capsize": 2}
            axes.errorbar(*_place(one), *bars, **style)
    axes.set_title(dataset, loc="left", fontweight="bold")
    axes.set_xlabel("Frechet distance to the held-out images")
    axes.set_xlim(left=0)
    axes.set_ylim(-0.04 * axes.get_ylim()[1])


def ablation(plan: Plan, name: str, summaries: Summaries, path: Path) -> None:
    """Draw every metric over the rows of study `name`, points of a colour a data set.

    Error bars are standard deviations over seeds; dashed, the reference of the headline study.
    Points are joined where all rows are the values of one grid, and so in an order.
    """
    study = plan.studies[name]
    methods = [entry for entry in entries(study) if not entry.rivals]
    ticks = [textwrap.fill(entry.label, WRAP) for entry in methods]
    wide = sum(map(len, ticks)) > 34
    rows = [row for group in summaries.values() for one in group.values() for row in one.rows]
    metrics = [one for one in shown(rows) if one.against in {"training images", "reference"}]
    with drawing(path, 11, 6 + 0.06 * max(map(len, ticks)) * wide) as figure:
        grid = figure.subplots(-(-len(metrics) // ACROSS), ACROSS, sharex=True)
        for axes in grid.flat[len(metrics) :]:
            axes.remove()
        for axes, metric in zip(grid.flat, metrics, strict=False):
            _metric(axes, plan, name, methods, summaries, metric)
            axes.set_xticks(range(len(ticks)), ticks, rotation=90 if wide else 0)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        handles += grid.flat[0].plot([], color=GREY, linestyle="--", linewidth=1)
        labels += [plan.studies[plan.headline].rows[plan.reference].label]
        figure.suptitle(study.title, x=0.01, ha="left", fontsize=12)
        figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False)


def _metric(
    axes: Axes, plan: Plan, name: str, shown: list[Entry], summaries: Summaries, metric: Metric
) -> None:
    """Draw one metric of an ablation."""
    study = plan.studies[name]
    form = "o-" if len(study.rows) == 1 else "o"
    highest = [0.0]
    for dataset, colour in zip(study.datasets, COLOURS, strict=False):
        found = [summaries[name, dataset].get(entry.method) for entry in shown]
        y = np.array([one.mean(metric.key) if one else np.nan for one in found])
        bars = np.array([one.deviation(metric.key) if one else 0 for one in found])
        axes.errorbar(range(len(y)), y, bars, fmt=form, capsize=2, color=colour, label=dataset)
        main = summaries.get((plan.headline, dataset), {}).get(plan.reference)
        reference = main.mean(metric.key) if main else np.nan
        axes.axhline(reference, color=colour, linestyle="--", linewidth=1)
        highest += [*(y + bars), reference]
    top = np.nanmax(highest) * 1.1 or 1.0
    axes.set_ylim(0, min(top, 1.03) if metric.share_of else top)
    axes.set_title(metric.head, loc="left", fontweight="bold")
    axes.margins(x=0.08)


def _place(summary: Summary) -> tuple[float, float]:
    return summary.mean("frechet"), summary.mean("memorised")
