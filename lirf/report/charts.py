"""Charts of lines and of bars, on the axes of a picture or of the page.

The y axis starts at zero, or below it where a value does, and ends at a round number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lirf.report.style import BASELINE, GREY, INK, LOOP

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = Sequence[tuple[float, float | None]]
"""(x, y); without y there is a gap."""

Kind = Literal["loop", "baseline", "second", "faint"]

Group = tuple[str, Sequence[tuple[Kind, float | None]]]
"""Bars that stand together: what is written below them, and of each its kind and its height."""

SECOND: dict[str, Any] = {"color": GREY, "linewidth": 1.5, "zorder": 2}
LOOKS: dict[Kind, dict[str, Any]] = {
    "loop": {"color": LOOP, "zorder": 4},
    "baseline": {"color": BASELINE, "linestyle": "--", "zorder": 3},
    "second": SECOND,
    "faint": {"color": LOOP, "linewidth": 1.5, "alpha": 0.3, "zorder": 1},
}
TICKS = 4  # steps of the y axis, at most
INSET = 0.055  # of dots from the sides, of the width between them
MOST_POINTS = 160  # of a curve


@dataclass(frozen=True)
class Line:
    """A line of a chart: its kind, its points, whether each has a dot, its name in a legend."""

    kind: Kind
    points: Points
    dots: bool = False
    label: str | None = None


def lines(
    axes: Axes,
    series: Sequence[Line],
    ticks: Sequence[tuple[float, str]],
    level: float | None = None,
    least_top: float = 0.0,
    control: float | None = None,
) -> None:
    """Draw lines over the range of `ticks`, which are (x, text).

    Args:
        axes: where.
        series: what to draw.
        ticks: marks of the x axis.
        level: height of a dashed line for the baseline.
        least_top: what the y axis reaches at least.
        control: height of a dotted line for the held-out images.
    """
    values = [y for line in series for _, y in line.points if y is not None]
    values += [one for one in (level, control) if one is not None]
    _frame(axes, [*values, least_top])
    axes.set_xticks(*map(list, zip(*ticks, strict=True)))
    low, high = ticks[0][0], ticks[-1][0]
    inset = INSET * ((high - low) or 1) * any(line.dots for line in series)
    axes.set_xlim(low - inset, high + inset + (high == low))
    for line in series:
        x, y = zip(*line.points, strict=True) if line.points else ((), ())
        heights = [math.nan if one is None else one for one in y]
        marker = {"marker": "o"} if line.dots else {}
        axes.plot(x, heights, label=line.label, clip_on=False, **marker, **LOOKS[line.kind])
    if level is not None:
        axes.axhline(level, label="baseline", clip_on=False, **LOOKS["baseline"])
    if control is not None:
        axes.axhline(control, linestyle=":", label="held-out images", clip_on=False, **SECOND)
    if not values:
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", color=INK)


def bars(
    axes: Axes,
    groups: Sequence[Group],
    least_top: float = 0.0,
) -> None:
    """Draw groups of bars side by side; a bar is (kind, height), without height there is none."""
    _frame(axes, [h for _, group in groups for _, h in group if h is not None] + [least_top])
    axes.set_xticks(range(len(groups)), [text for text, _ in groups])
    axes.set_xlim(-0.5, len(groups) - 0.5)
    for place, (_, group) in enumerate(groups):
        width = 0.7 / len(group)
        for i, (kind, height) in enumerate(group):
            middle = place + (i - (len(group) - 1) / 2) * width
            axes.bar(middle, height or 0.0, 0.9 * width, color=LOOKS[kind]["color"], clip_on=False)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float | None]]:
    """Return a noisy curve as the means of at most MOST_POINTS equal pieces of it."""
    size = max(1, math.ceil(len(points) / MOST_POINTS))
    pieces = [points[i : i + size] for i in range(0, len(points), size)]
    return [
        (math.fsum(x for x, _ in piece) / len(piece), math.fsum(y for _, y in piece) / len(piece))
        for piece in pieces
    ]


def steps(axes: Axes, last: float) -> list[tuple[float, str]]:
    """Return marks at round numbers of optimiser steps from 0 to `last`, which has a mark too."""
    axes.locator_params(axis="x", nbins=TICKS, steps=[1, 2, 2.5, 5, 10])
    found = axes.xaxis.get_major_locator().tick_values(0, last)
    return [*((float(x), f"{x:g}") for x in found if x <= last), (last, "")]


def _frame(axes: Axes, values: Sequence[float]) -> None:
    """Set up axes that hold the values: a line at zero, faint ones at round numbers above."""
    low, high = min(0.0, *values), max(0.0, *values)
    axes.locator_params(axis="y", nbins=TICKS, steps=[1, 2, 2.5, 5, 10])
    ticks = axes.yaxis.get_major_locator().tick_values(low, high if high > low else 1.0)
    axes.set_yticks(ticks, [f"{tick + 0.0:.6g}" for tick in ticks])
    axes.set_ylim(ticks[0], ticks[-1])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False)
    axes.grid(visible=False, axis="x")
    axes.grid(axis="y", clip_on=False)
    axes.axhline(0, color=GREY, linewidth=1, clip_on=False, zorder=0.9)
