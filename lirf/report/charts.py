"""Line and bar charts as inline SVG: they take colours from the page, scale, and need no script.

A chart is a string of SVG whose text is escaped. Classes say what a part is (`loop`,
`baseline`, `faint`, `axis`, `grid`), and the page's style sheet says how that looks, in light and
in dark. Coordinates have one decimal: the same numbers give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 240, 150
LEFT, RIGHT, TOP, BOTTOM = 34, 12, 12, 22
TICKS = 4  # at most, besides zero
MOST_POINTS = 160  # of a curve


@dataclass(frozen=True)
class Line:
    """A line of a chart: its class, its points [(x, y)], and whether each has a dot."""

    kind: str
    points: Sequence[tuple[float, float | None]]
    dots: bool = False


def lines(
    series: Sequence[Line],
    label: str,
    ticks: Sequence[tuple[float, str]],
    level: float | None = None,
    least_top: float = 0.0,
) -> str:
    """Draw lines over the range of `ticks`, which are (x, text), from zero up.

    Args:
        series: what to draw, the last one on top; a point without y breaks its line.
        label: what a screen reader says of the chart.
        ticks: marks of the x axis.
        level: height of a dashed line for the baseline.
        least_top: what the y axis reaches at least.
    """
    values = [y for line in series for _, y in line.points if y is not None]
    values += [] if level is None else [level]
    axis = _Axis.over([*values, least_top])
    low, high = ticks[0][0], ticks[-1][0]
    inset = 10 if any(line.dots for line in series) else 0
    reach = WIDTH - LEFT - RIGHT - 2 * inset

    def across(x: float) -> float:
        return LEFT + inset + reach * (x - low) / (high - low or 1)

    parts = _frame(axis)
    for x, text in ticks:
        outside = across(x) + 3 * len(text) > WIDTH
        place = WIDTH if outside else across(x)
        parts.append(_text(place, HEIGHT - 6, text, "end" if outside else "middle"))
    if level is not None:
        y = _round(axis.place(level))
        parts.append(f'<path class="baseline" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
    for line in series:
        places = [
            None if y is None else (_round(across(x)), _round(axis.place(y)))
            for x, y in line.points
        ]
        parts.append(f'<path class="{escape(line.kind)}" d="{_path(places)}"/>')
        if line.dots:
            parts += [
                f'<circle class="{escape(line.kind)}" cx="{place[0]}" cy="{place[1]}" r="3"/>'
                for place in places
                if place is not None
            ]
    if not values:
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT / 2, "no value", "middle"))
    return _svg(parts, label)


def bars(
    groups: Sequence[tuple[str, Sequence[tuple[str, float | None]]]], label: str, least_top: float
) -> str:
    """Draw groups of bars side by side; a bar is (class, height), without height there is none."""
    heights = [height for _, bars_ in groups for _, height in bars_ if height is not None]
    axis = _Axis.over([*heights, least_top])
    parts = _frame(axis)
    step = (WIDTH - LEFT - RIGHT) / len(groups)
    floor = axis.place(0)
    for place, (text, bars_) in enumerate(groups):
        left = LEFT + step * place
        parts.append(_text(left + step / 2, HEIGHT - 6, text, "middle"))
        width = 0.7 * step / len(bars_)
        for i, (kind, height) in enumerate(bars_):
            top = axis.place(height or 0)
            x = left + 0.15 * step + i * width
            parts.append(
                f'<rect class="{escape(kind)}" x="{_round(x)}" y="{_round(top)}"'
                f' width="{_round(width - 1.5)}" height="{_round(floor - top)}"/>'
            )
    return _svg(parts, label)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float | None]]:
    """Return a noisy curve as the means of at most MOST_POINTS equal pieces of it."""
    size = max(1, math.ceil(len(points) / MOST_POINTS))
    pieces = [points[i : i + size] for i in range(0, len(points), size)]
    return [
        (math.fsum(x for x, _ in piece) / len(piece), math.fsum(y for _, y in piece) / len(piece))
        for piece in pieces
    ]


def round_step(least: float) -> float:
    """Return the least of 1, 2, 2.5, 5 times a power of ten that is not below `least`, positive."""
    unit = 10.0 ** math.floor(math.log10(least))
    return next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= least * (1 - 1e-9))


@dataclass(frozen=True)
class _Axis:
    """A y axis that starts at or below zero and ends at a round number."""

    low: float
    high: float
    step: float

    @classmethod
    def over(cls, values: Sequence[float]) -> _Axis:
        low, high = min([0.0, *values]), max([0.0, *values])
        step = round_step(((high - low) or 1.0) / TICKS)
        return cls(step * math.floor(low / step), step * (math.ceil(high / step) or 1), step)

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        return [
            self.low + i * self.step for i in range(round((self.high - self.low) / self.step) + 1)
        ]


def _frame(axis: _Axis) -> list[str]:
    """Return the lines of the grid and their numbers."""
    parts = []
    for tick in axis.ticks():
        y = _round(axis.place(tick))
        kind = "axis" if abs(tick) < axis.step / 2 else "grid"
        parts.append(f'<path class="{kind}" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 5, axis.place(tick) + 3.5, f"{tick:.4g}", "end"))
    return parts


def _path(places: Sequence[tuple[str, str] | None]) -> str:
    """Return the path through places, broken where there is none."""
    steps, pen = [], "M"
    for place in places:
        if place is None:
            pen = "M"
        else:
            steps.append(f"{pen}{place[0]} {place[1]}")
            pen = "L"
    return "".join(steps)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{_round(x)}" y="{_round(y)}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: Sequence[str], label: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _round(value: float) -> str:
    """Return a coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")
