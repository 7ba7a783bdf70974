"""Pictures of the comparison: copies against the Frechet distance, and every ablation's curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lirf import comparison
from lirf.comparison import Row, Summary
from lirf.plan import ORACLE, Plan, Study, entries
from lirf.report import BASELINE, COLUMNS, GREY, LOOP, SHARES, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREEN = "#009E73"  # of the Okabe-Ito palette, like those of the report
COLOURS = (LOOP, BASELINE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")
DOT: dict[str, Any] = {"color": "#B0B0B0", "markersize": 3.5, "linestyle": "none", "marker": "o"}
SIZE = 9  # points: of a label


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
    shown = [entry for entry in entries(study) if entry.method != ORACLE]
    ticks = _ticks(study)
    columns = [column for column in COLUMNS if column.key not in ("vendi", "bank_rows")]
    long = max(map(len, ticks)) > 12
    with drawing(path, 11, 6 + 0.06 * max(map(len, ticks)) * long) as figure:
        grid = figure.subplots(2, 3, sharex=True)
        for axes, column in zip(grid.flat, columns, strict=True):
            top = [0.0]
            for dataset, colour in zip(study.datasets, COLOURS, strict=False):
                found = comparison.of(summaries, name, dataset)
                if not found:
                    continue
                points = [(i, found[e.method]) for i, e in enumerate(shown) if e.method in found]
                y = [_number(summary.mean[column.key]) for _, summary in points]
                bars = [summary.deviation[column.key] or 0.0 for _, summary in points]
                style: dict[str, Any] = {"color": colour, "capsize": 2, "clip_on": False}
                axes.errorbar([i for i, _ in points], y, bars, fmt="o-", label=dataset, **style)
                reference = comparison.of(summaries, plan.headline, dataset).get(plan.reference)
                if reference:
                    y.append(_number(reference.mean[column.key]))
                    axes.axhline(y[-1], color=colour, linestyle="--", linewidth=1)
                top += [value for value in y if np.isfinite(value)]
            axes.set_title(column.head, loc="left", fontweight="bold")
            axes.set_xticks(range(len(ticks)), ticks, rotation=90 if long else 0)
            axes.set_ylim(0, max(top) * 1.12 or 0.1)
            if column.key in SHARES:
                axes.set_ylim(0, min(1.03, max(max(top) * 1.12, 0.1)))
            axes.margins(x=0.08)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        axes = grid.flat[0]
        handles += axes.plot([], color=GREY, linestyle="--", linewidth=1)
        labels += [plan.studies[plan.headline].rows[plan.reference].label]
        figure.legend(
            handles, labels, loc="outside upper left", ncols=4, frameon=False, title=study.title
        )


def _ticks(study: Study) -> list[str]:
    """Return what stands below the points of a study: only the values where rows are one grid."""
    shown = [entry for entry in entries(study) if entry.method != ORACLE]
    if len(study.rows) == 1 and shown[0].values:
        return [entry.method.removeprefix(f"{next(iter(study.rows))}-") for entry in shown]
    return [entry.label for entry in shown]


def _panel(axes: Axes, plan: Plan, summaries: Sequence[Summary], dataset: str) -> None:
    """Draw one data set."""
    found = comparison.of(summaries, plan.headline, dataset)
    shown = [e for e in entries(plan.studies[plan.headline]) if e.method in found]
    for summary in summaries:
        if summary.dataset == dataset and summary.study != plan.headline:
            axes.plot(*_place(summary), **DOT)
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
        bars = [summary.deviation[key] or 0.0 for key in ("frechet", "copies")]
        style: dict[str, Any] = {"color": colour, "capsize": 2, "elinewidth": 1}
        axes.errorbar(x, y, bars[1], bars[0], fmt="D" if own else "s", markersize=6, **style)
        texts.append((x, y, entry.label, colour))
    axes.set_xlabel("Frechet distance to the held-out images")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=-0.03)
    axes.margins(x=0.18, y=0.1)
    axes.autoscale_view()
    axes.set_xlim(0, axes.get_xlim()[1] * 1.15)
    axes.legend(loc="upper right", frameon=False, fontsize=SIZE)
    _write(axes, [text for text in texts if np.isfinite(text[:2]).all()])


def _write(axes: Axes, texts: Sequence[tuple[float, float, str, str]]) -> None:
    """Write labels beside their points, each where it covers least of what is already there."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # places the axes
    dpi = figure.dpi / 72
    points = np.array([axes.transData.transform(text[:2]) for text in texts]).reshape(-1, 2)
    taken = [np.array([x - 5, y - 5, x + 5, y + 5]) for x, y in points]
    frame = axes.get_window_extent()
    for (x, y, words, colour), (px, py) in zip(texts, points, strict=True):
        width, height = (0.56 * SIZE * len(words) * dpi, 1.25 * SIZE * dpi)
        best, least = None, math.inf
        for distance in (9, 22, 38, 56, 76):
            for angle in range(0, 360, 30):
                dx, dy = (
                    distance * math.cos(math.radians(angle)),
                    distance * math.sin(math.radians(angle)),
                )
                left = px + dx * dpi - (0 if dx > 1e-6 else width if dx < -1e-6 else width / 2)
                low = py + dy * dpi - height / 2
                box = np.array([left, low, left + width, low + height])
                out = max(0, frame.x0 - left) + max(0, left + width - frame.x1)
                out += max(0, frame.y0 - low) + max(0, low + height - frame.y1)
                cost = distance + 100 * out + sum(_overlap(box, other) for other in taken)
                if cost < least:
                    best, least = (dx, dy, box), cost
        assert best is not None
        dx, dy, box = best
        taken.append(box)
        side = "left" if dx > 1e-6 else "right" if dx < -1e-6 else "center"
        far = math.hypot(dx, dy) > 10
        axes.annotate(
            words,
            (x, y),
            (dx, dy),
            textcoords="offset points",
            ha=side,
            va="center",
            color=colour,
            fontsize=SIZE,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5} if far else None,
        )


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the common area of two boxes [left, low, right, high]."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)))


def _place(summary: Summary) -> tuple[float, float]:
    return _number(summary.mean["frechet"]), _number(summary.mean["copies"])


def _number(value: float | None) -> float:
    return math.nan if value is None else value
