"""What the spiral study shows: a table, samples beside the curve, and velocity fields."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from lirf.objectives.base import Field
from lirf.params import SpiralParams
from lirf.report import tables
from lirf.report.style import BASELINE, GREY, LOOP, drawing
from lirf.studies import spiral, study
from lirf.studies.study import Ground, Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REACH = 2.45  # half the side of a panel, in gaps between the arms
LATE = 0.8  # t at which velocities are drawn
ARROWS = 19  # a side

COLUMNS = {  # of the table: title and form
    "to_curve": ("to the curve ↓", ".3f"),
    "covered": ("covered ↑", ".3f"),
    "off": ("off the curve ↓", ".3f"),
    "memorised": ("memorised → truth", ".3f"),
    "nearest": ("nearest → truth", ".3f"),
    "transport": ("transport ↓", ".3f"),
    "bank_rows": ("bank rows", ".0f"),
}

Found = TypeVar("Found")


def table(rows: Sequence[Mapping[str, Any]], numbers: SpiralParams) -> str:
    """Write mean and standard deviation over the seeds as Markdown, a block for each count."""
    config = numbers.spiral
    lines = []
    for count, method in itertools.product(config.counts, study.METHODS):
        runs = [row for row in rows if (row["count"], row["method"]) == (count, method)]
        cells = [_cell([row[key] for row in runs], form) for key, (_, form) in COLUMNS.items()]
        lines.append([str(count), method, *cells])
    head = ["N", "method", *(title for title, _ in COLUMNS.values())]
    return f"{tables.markdown(head, lines, 'rlr')}\n\n{_protocol(numbers)}\n"


def samples(
    grounds: Mapping[int, Ground], outcomes: Mapping[tuple[int, str], Outcome], path: Path
) -> None:
    """Draw training points, curve and samples: a row a count, a column a method."""

    def draw(axes: Axes, _: Ground, found: Outcome) -> None:
        axes.scatter(*found.samples.T, s=4, color=LOOP, alpha=0.45, linewidth=0)
        note = f"covered {found.row['covered']:.0%}, off {found.row['off']:.0%}"
        axes.set_xlabel(note, fontsize=10, color=GREY)

    _grid(grounds, outcomes, draw, path)


def fields(
    grounds: Mapping[int, Ground], velocities: Mapping[tuple[int, str], Field], path: Path
) -> None:
    """Draw velocities where `x_t` may be at a late time: a row a count, a column a method."""
    _grid(grounds, velocities, _arrows, path)


def _grid(
    grounds: Mapping[int, Ground],
    found: Mapping[tuple[int, str], Found],
    draw: Callable[[Axes, Ground, Found], None],
    path: Path,
) -> None:
    """Draw curve, training points and what is found: a row a count, a column a method."""
    methods = list(dict.fromkeys(method for _, method in found))
    with drawing(path, 3 * len(methods), 3.15 * len(grounds)) as figure:
        grid = figure.subplots(len(grounds), len(methods), squeeze=False)
        for row, (count, at) in zip(grid, grounds.items(), strict=True):
            for axes, method in zip(row, methods, strict=True):
                _panel(axes, at)
                draw(axes, at, found[count, method])
                _points(axes, at, size=18 if count <= 50 else 7)
                if count == next(iter(grounds)):
                    axes.set_title(method, fontweight="bold", fontsize=13)
            row[0].set_ylabel(f"{count} points", fontsize=13, fontweight="bold")


def _panel(axes: Axes, at: Ground) -> None:
    """Set up a square panel with the curve in it."""
    axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xticks=[], yticks=[], aspect="equal")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color="#D0D0D0")
    curve_S2 = at.curve.at(np.linspace(0, at.curve.length, 500))
    axes.plot(*curve_S2.T, color="#9A9A9A", linewidth=1.0, zorder=0)


def _points(axes: Axes, at: Ground, size: float) -> None:
    """Draw the training points over everything else."""
    axes.scatter(*at.train.T, s=size, color=BASELINE, edgecolor="white", linewidth=0.5, zorder=4)


def _arrows(axes: Axes, at: Ground, velocity: Field) -> None:
    """Draw velocities as arrows of equal length; darker ones are faster."""
    ticks = np.linspace(-REACH, REACH, ARROWS + 1)[:-1] + REACH / ARROWS
    xy_P2 = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    z_PCHW = torch.from_numpy(at.space.scale(study.raw(xy_P2)))
    v_PCHW = velocity(z_PCHW, torch.full((len(z_PCHW),), LATE))
    scale_2 = np.array(at.space.std)
    v_P2 = v_PCHW.numpy().reshape(-1, 2) * scale_2
    speed_P = np.linalg.norm(v_P2, axis=1)
    unit_P2 = v_P2 / np.maximum(speed_P, 1e-9)[:, None]
    axes.quiver(
        *xy_P2.T, *unit_P2.T, speed_P, cmap="Blues", clim=(-2, 6), pivot="mid", scale=24,
        width=0.006, headwidth=3.5, headlength=4, zorder=1,
    )  # fmt: skip


def _protocol(numbers: SpiralParams) -> str:
    config = numbers.spiral
    seeds = ", ".join(map(str, config.seeds))
    return (
        f"Mean ± standard deviation over seeds {seeds}; {config.samples} samples"
        f" ({numbers.sample.solver}, {numbers.sample.steps} steps) and {config.steps} optimiser"
        f" steps each, over the last {config.cooldown} of which the learning rate falls to zero."
        f" A spiral of {config.turns:g} turns; lengths in units of the gap between its"
        f" arms, noise radius {config.noise:g}. Covered: share of the curve with a sample within"
        f" the noise radius; off: share of samples farther than {spiral.OFF:g} noise radii from the"
        " curve; memorised: share of samples over three times nearer to one training point than"
        " to any other; nearest: mean distance to the nearest training point; transport:"
        f" Wasserstein-1 distance to {config.samples} draws of the truth. `{study.BEST}` is picked"
        f" among {config.moments} moments by that distance, which takes the truth; `{study.TRUTH}`"
        f" is a fresh draw of {config.samples} in place of samples."
    )


def _cell(values: Sequence[float], form: str) -> str:
    deviation = np.std(values, ddof=min(1, len(values) - 1))
    return f"{np.mean(values):{form}} ± {deviation:{form}}"
