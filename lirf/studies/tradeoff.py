"""Pictures of the comparison: copies against the Frechet distance, and every ablation's curves."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lirf.report.report import BASELINE, COLUMNS, GREY, LOOP, SHARES, Column, drawing
from lirf.studies import comparison
from lirf.studies.comparison import Row, Summary
from lirf.studies.plan import ORACLE, Plan, Study, entries

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREEN = "#009E73"  # of the Okabe-Ito palette, like those of the report
COLOURS = (LOOP, BASELINE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")
DOT: dict[str, Any] = {"color": "#B0B0B0", "markersize": 3.5, "linestyle": "none", "marker": "o"}
SIZE = 9  # points: of a label
WRAP = 26  # characters of a label's line


def tradeoff(plan: Plan, rows: Sequence[Row], path: Path) -> None:
    """Draw a panel a data set: copies over the Frechet distance, the lower left is best.

    A curve of the reference over its steps; a labelled point with the standard deviation over
    seeds for every other method; a grey dot for every ablation.
    """
    summaries = comparison.summarise(comparison.with_oracles(plan, rows))
    study = plan.studies[plan.headline]
    datasets = [d for d in study.datasets if comparison.of(summaries, plan.headline, d)]
    with drawing(path, 6.2 * max(len(datasets), 1), 5.2) as figure:
        panels = figure.subplots(1, max(len(datasets), 1), squeeze=False)[0]
        for axes, dataset in zip(panels, datasets, strict=False):
            _panel(axes, plan, summaries, dataset)
            axes.set_title(dataset, loc="left", fontweight="bold")
        panels[0].set_ylabel("share of samples that are copies")


def ablation(plan: Plan, name: str, rows: Sequence[Row], path: Path) -> None:
    """Draw every metric over the rows of study `name`, a line a data set.

    Error bars are standard deviations over seeds; dashed, the reference of the headline study.
    """
    summaries = comparison.summarise(comparison.with_oracles(plan, rows))
    study = plan.studies[name]
    ticks = _ticks(study)
    wide = sum(map(len, ticks)) > 34
    columns = [column for column in COLUMNS if column.key not in ("vendi", "bank_rows")]
    with drawing(path, 11, 6 + 0.06 * max(map(len, ticks)) * wide) as figure:
        grid = figure.subplots(2, 3, sharex=True)
        for axes, column in zip(grid.flat, columns, strict=True):
            _metric(axes, plan, name, summaries, column)
            axes.set_xticks(range(len(ticks)), ticks)
            if wide:
                axes.tick_params("x", rotation=90)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        handles += grid.flat[0].plot([], color=GREY, linestyle="--", linewidth=1)
        labels += [plan.studies[plan.headline].rows[plan.reference].label]
        figure.suptitle(study.title, x=0.01, ha="left", fontsize=12)
        figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False)


def _metric(
    axes: Axes, plan: Plan, name: str, summaries: Sequence[Summary], column: Column
) -> None:
    """Draw one metric of an ablation."""
    study = plan.studies[name]
    shown = [entry for entry in entries(study) if entry.method != ORACLE]
    form = "o-" if _is_grid(study) else "o"
    highest = [0.0]
    for dataset, colour in zip(study.datasets, COLOURS, strict=False):
        found = comparison.of(summaries, name, dataset)
        points = [(i, found[e.method]) for i, e in enumerate(shown) if e.method in found]
        if not points:
            continue
        y = np.array([_number(summary.mean[column.key]) for _, summary in points])
        bars = np.array([summary.deviation[column.key] or 0.0 for _, summary in points])
        style: dict[str, Any] = {"color": colour, "capsize": 2, "label": dataset}
        axes.errorbar([i for i, _ in points], y, bars, fmt=form, **style)
        highest += [value for value in y + bars if np.isfinite(value)]
        reference = comparison.of(summaries, plan.headline, dataset).get(plan.reference)
        if reference and (value := reference.mean[column.key]) is not None:
            axes.axhline(value, color=colour, linestyle="--", linewidth=1)
            highest.append(value)
    top = max(highest) * 1.1 or 1.0
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


def _panel(axes: Axes, plan: Plan, summaries: Sequence[Summary], dataset: str) -> None:
    """Draw one data set."""
    found = comparison.of(summaries, plan.headline, dataset)
    shown = [e for e in entries(plan.studies[plan.headline]) if e.method in found]
    ablations = [s for s in summaries if s.dataset == dataset and s.study != plan.headline]
    for summary in ablations:
        axes.plot(*_place(summary), **DOT)
    if ablations:
        axes.plot([], [], **DOT, label="an ablation")
    lengths = [found[e.method] for e in shown if comparison.is_length(e)]
    lengths = [s for s in [*lengths, found.get(plan.reference)] if s is not None]
    lengths.sort(key=lambda s: s.mean["train_steps"] or 0)
    label = plan.studies[plan.headline].rows[plan.reference].label
    curve = np.array([_place(s) for s in lengths]).reshape(-1, 2)
    axes.plot(*curve.T, "o-", color=BASELINE, markersize=4, label=f"{label}, by its steps")
    texts = [
        (x, y, f"{s.mean['train_steps']:.0f}", BASELINE)
        for s, (x, y) in zip(lengths, curve, strict=True)
    ]
    for entry in shown:
        if comparison.is_length(entry) or entry.method in (plan.reference, ORACLE):
            continue
        own = entry.method == plan.judged
        summary, colour = found[entry.method], LOOP if own else "#222222"
        x, y = _place(summary)
        bars = [summary.deviation[key] or 0.0 for key in ("frechet", "memorised")]
        style: dict[str, Any] = {"color": colour, "capsize": 2, "elinewidth": 1}
        axes.errorbar(x, y, bars[1], bars[0], fmt="D" if own else "s", markersize=6, **style)
        texts.insert(0, (x, y, textwrap.fill(entry.label, WRAP), colour))
    axes.set_xlabel("Frechet distance to the held-out images")
    axes.autoscale_view()
    axes.set_xlim(0, axes.get_xlim()[1] * 1.2)
    top = axes.get_ylim()[1] * 1.12
    axes.set_ylim(-0.04 * top, top)
    axes.legend(loc="upper right", frameon=False, fontsize=SIZE)
    steps = np.linspace(0, 1, 40)[:, None]
    line = [a + steps * (b - a) for a, b in itertools.pairwise(curve)]
    _write(axes, [text for text in texts if np.isfinite(text[:2]).all()], np.array(line))


def _write(axes: Axes, texts: Sequence[tuple[float, float, str, str]], line: np.ndarray) -> None:
    """Write labels beside their points, each where it covers least of what is already there.

    `line` holds points [..., 2] of a curve that labels rather leave free.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # places the axes
    dpi = figure.dpi / 72
    frame = axes.get_window_extent()
    legend = axes.get_legend()
    points = [axes.transData.transform(text[:2]) for text in texts]
    near = [axes.transData.transform(point) for point in line.reshape(-1, 2)]
    taken = [np.array([x - 6, y - 6, x + 6, y + 6]) for x, y in points]
    taken += [np.array([x - 1.5, y - 1.5, x + 1.5, y + 1.5]) for x, y in near]
    if legend is not None:
        taken.append(np.array(legend.get_window_extent().extents))
    for (x, y, words, colour), (px, py) in zip(texts, points, strict=True):
        lines = words.split("\n")
        width, height = 0.6 * SIZE * max(map(len, lines)) * dpi, 1.25 * SIZE * len(lines) * dpi
        best, least = (0.0, 0.0, np.zeros(4)), math.inf
        for distance, angle in itertools.product((9, 22, 38, 56, 76, 100), range(0, 360, 30)):
            dx = round(distance * math.cos(math.radians(angle)), 6)
            dy = round(distance * math.sin(math.radians(angle)), 6)
            left = px + dx * dpi - width * (0.5 - 0.5 * np.sign(dx))
            low = py + dy * dpi - height / 2
            box = np.array([left, low, left + width, low + height])
            out = np.maximum(frame.extents[:2] - box[:2], 0) + np.maximum(
                box[2:] - frame.extents[2:], 0
            )
            cost = distance + 100 * out.sum() + 4 * sum(_overlap(box, other) for other in taken)
            if cost < least:
                best, least = (dx, dy, box), cost
        dx, dy, box = best
        taken.append(box)
        arrow = {"arrowstyle": "-", "color": colour, "lw": 0.5} if math.hypot(dx, dy) > 10 else None
        axes.annotate(
            words,
            (x, y),
            (dx, dy),
            textcoords="offset points",
            ha={1: "left", 0: "center", -1: "right"}[int(np.sign(dx))],
            va="center",
            color=colour,
            fontsize=SIZE,
            arrowprops=arrow,
        )


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the common area of two boxes [left, low, right, high]."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)))


def _place(summary: Summary) -> tuple[float, float]:
    return _number(summary.mean["frechet"]), _number(summary.mean["memorised"])


def _number(value: float | None) -> float:
    return math.nan if value is None else value
