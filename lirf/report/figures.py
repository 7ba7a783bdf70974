"""The pictures of a whole run: curves over the rounds and over the steps, and of collapse.

A *result* is as in `lirf.report.report`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lirf.measure.table import DIAGNOSES, shown
from lirf.report import charts
from lirf.report.charts import Group, Line
from lirf.report.report import Result
from lirf.report.style import BASELINE, GREY, HINT, LOOP, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lirf.measure.collapse import Bin

ACROSS = 4
"""Metrics beside one another."""

LEAST_SHARE = 0.1
"""What the axis of a share reaches at least."""

HALVES = [(0.0, "0"), (0.5, "0.5"), (1.0, "1")]
KINDS: tuple[charts.Kind, ...] = ("loop", "second")


def curves(results: Sequence[Result], baseline: Result | None, path: Path) -> None:
    """Draw every metric over `results` (the models of the loop, in order), `baseline` dashed."""
    names = [str(result["round"]) for result in results]
    metrics = shown(results)
    down = -(-len(metrics) // ACROSS)
    with drawing(path, 13, 3 * down) as figure:
        grid = figure.subplots(down, ACROSS, sharex=True)
        for axes in grid.flat[len(metrics) :]:
            axes.remove()
        for axes, metric in zip(grid.flat, metrics, strict=False):
            values = [result.get(metric.key) for result in results]
            level = baseline.get(metric.key) if baseline else None
            loop = Line("loop", list(enumerate(values)), dots=True, label="loop")
            least = LEAST_SHARE if metric.share_of else 0
            charts.lines(
                axes, [loop], list(enumerate(names)), level, least, results[-1].get(metric.control)
            )
            axes.set_title(metric.title, loc="left", fontweight="bold")
            axes.set_title(metric.better and f"{metric.better} is better", **HINT)
        for axes in grid.flat[: len(metrics)][-ACROSS:]:  # what is below them may be left out
            axes.tick_params(labelbottom=True)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False)


def losses(
    loop: Mapping[str, tuple[np.ndarray, np.ndarray]],
    baseline: tuple[np.ndarray, np.ndarray] | None,
    path: Path,
) -> None:
    """Draw the training loss of the loop's models, one after another, and of the baseline.

    Each model has (steps, losses), its steps counted from the start of the loop.
    """
    reach = (
        max(
            steps[-1]
            for steps, _ in (*loop.values(), *([baseline] if baseline else []))
            if len(steps)
        )
        / 80
    )
    with drawing(path, 9, 4.5) as figure:
        axes = figure.subplots()
        start = 0.0
        for name, (steps, values) in loop.items():
            if not len(steps):  # collapsed before its first step
                continue
            _curve(axes, steps, values, reach, color=LOOP)
            if start:
                axes.axvline(start, color=GREY, linewidth=0.6)
            place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            middle = (start + steps[-1]) / 2
            axes.annotate(name, (middle, 1), xytext=(0, 4), ha="center", color=GREY, **place)
            start = steps[-1]
        axes.plot([], color=LOOP, label="loop")
        if baseline:
            _curve(axes, *baseline, reach, color=BASELINE, linestyle="--")
            axes.plot([], color=BASELINE, linestyle="--", label="baseline")
        axes.set_xlabel("optimiser steps")
        axes.set_ylabel("flow-matching loss")
        axes.margins(x=0.01)
        axes.legend(frameon=False)


def diagnosis(
    run: str, t_S: np.ndarray, distance_S: np.ndarray, bins: Sequence[Bin], path: Path
) -> None:
    """Draw a model's distance to the memorising field over t, and what is memorised by density."""
    with drawing(path, 11, 4) as figure:
        left, right = figure.subplots(1, 2)
        points = list(zip(t_S.tolist(), distance_S.tolist(), strict=True))
        charts.lines(left, [Line("loop", points, dots=True)], HALVES, 0, 1)
        note: dict[str, Any] = {"textcoords": "offset points", "color": BASELINE, "ha": "right"}
        left.annotate("learned by heart", (1, 0), (-4, 5), **note)
        left.set_title(f"{run}: distance to the memorising field", loc="left", fontweight="bold")
        left.set_xlabel("t (0 noise, 1 data)")

        names = [f"{bin_.low:.3g} to {bin_.high:.3g}" for bin_ in bins]
        groups: list[Group] = [
            (name, [("loop", one.memorised)]) for name, one in zip(names, bins, strict=True)
        ]
        charts.bars(right, groups, LEAST_SHARE)
        note |= {"color": GREY, "ha": "center"}
        for place, bin_ in enumerate(bins):
            right.annotate(f"of {bin_.samples}", (place, bin_.memorised or 0), (0, 4), **note)
        right.set_title("memorised samples", loc="left", fontweight="bold")
        right.set_xlabel("real latents by local density, densest first: distance to a neighbour")


def collapse(results: Sequence[Result], baseline: Result | None, path: Path) -> None:
    """Draw the collapse and the two Hausdorff distances over `results`, `baseline` dashed."""
    names = [str(result["round"]) for result in results]
    with drawing(path, 13, 3.8) as figure:
        for axes, panel in zip(figure.subplots(1, 3), DIAGNOSES, strict=True):
            both = [
                Line(kind, list(enumerate(one.get(key) for one in results)), dots=True, label=label)
                for kind, key, label in zip(KINDS, panel.keys, panel.labels, strict=True)
            ]
            level = baseline.get(panel.keys[0]) if baseline else None
            charts.lines(axes, both, list(enumerate(names)), level)
            title = f"{panel.title}: {panel.asks}" if panel.asks else panel.title
            axes.set_title(title, loc="left", fontweight="bold")
            axes.set_ylabel(panel.unit)
            axes.legend(frameon=False, fontsize=9)


def _curve(axes: Axes, steps: np.ndarray, values: np.ndarray, reach: float, **style: Any) -> None:
    """Draw a noisy curve faintly, and over it its mean over `reach` steps either side."""
    axes.plot(steps, values, color=style["color"], alpha=0.15, linewidth=0.5)
    total = np.cumsum(np.concatenate([[0.0], values]))
    first = np.searchsorted(steps, steps - reach)
    last = np.searchsorted(steps, steps + reach, side="right")
    axes.plot(steps, (total[last] - total[first]) / (last - first), linewidth=1.6, **style)
