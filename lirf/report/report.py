"""The report of a whole run: a table, and curves over the rounds and over the steps.

A *result* is a flat mapping of one trained model: `round` (its name), the metrics, `bank_rows`
(latents in the bank that it was trained on), and whatever else is known; None is "no value".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lirf.report import tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lirf.measure.collapse import Bin

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A number of the table: its key, title, form, which way is better, what it means."""

    key: str
    title: str
    form: str
    better: str = ""
    meaning: str = ""

    @property
    def head(self) -> str:
        """The title with an arrow towards better."""
        arrow = {"lower": "↓", "higher": "↑", "nearer to 1": "→ 1"}.get(self.better, "")
        return f"{self.title} {arrow}".rstrip()


COLUMNS = (
    Column(
        "memorised",
        "memorised",
        ".3f",
        "lower",
        "Share of samples that are far nearer to one training image than to any other. A model"
        " that learned the images by heart nears 1.",
    ),
    Column(
        "precision",
        "precision",
        ".3f",
        "higher",
        "Share of samples that fall among the reference images: do they look real? Copying keeps"
        " it high.",
    ),
    Column(
        "recall",
        "recall",
        ".3f",
        "higher",
        "Share of the reference images that fall among the samples: is there all there is? Wide,"
        " blurred samples inflate it.",
    ),
    Column(
        "density",
        "density",
        ".3f",
        "nearer to 1",
        "How closely samples lie among the reference images. 1 is like real images; well above 1,"
        " samples crowd where images are dense.",
    ),
    Column(
        "coverage",
        "coverage",
        ".3f",
        "higher",
        "Share of the reference images that have a sample near them. Like recall, not inflated by"
        " outliers.",
    ),
    Column(
        "frechet",
        "Frechet",
        ".3f",
        "lower",
        "Distance between the Gaussians of samples and reference images. Not FID: other features.",
    ),
    Column("vendi", "Vendi", ".2f", "higher", "Effective number of different samples."),
    Column("bank_rows", "bank rows", ".0f", meaning="Latents that the model was trained on."),
)


@dataclass(frozen=True)
class Panel:
    """A part of the picture of collapse: its title, its unit, the key and label of each line."""

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]


COLLAPSE = (
    Panel(
        "collapse",
        "0 new, 1 copies",
        (("collapse_real", "onto the real latents"), ("collapse_bank", "onto its own bank")),
    ),
    Panel(
        "bank to reference: does it stray?",
        "spacings of the real latents",
        (("bank_to_reference", "greatest"), ("bank_to_reference_mean", "mean")),
    ),
    Panel(
        "reference to bank: does it cover?",
        "spacings of the real latents",
        (("reference_to_bank", "greatest"), ("reference_to_bank_mean", "mean")),
    ),
)
SHARES = frozenset({"memorised", "precision", "recall", "coverage"})

LOOP = "#0072B2"  # blue and vermilion of the Okabe-Ito palette
BASELINE = "#D55E00"
GREY = "#767676"
DPI = 110
HINT: dict[str, Any] = {"loc": "right", "color": GREY, "fontsize": 9}
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "font.family": "DejaVu Sans",  # comes with Matplotlib
}


def table(results: Sequence[Result], protocol: str) -> str:
    """Write the results as a Markdown table with the protocol in one line beneath it."""
    head = ["", *(column.head for column in COLUMNS)]
    rows = [
        [result["round"], *(tables.number(result.get(c.key), c.form) for c in COLUMNS)]
        for result in results
    ]
    return f"{tables.markdown(head, rows)}\n\n{protocol}\n"


def protocol_line(result: Result) -> str:
    """Say in one line how the numbers of `result` were obtained."""
    reference = {"heldout": "held-out", "train": "**training**"}[result["reference"]]
    return (
        f"{result['n_fake']} samples (seed {result['seed']}; {_source(result)}) against"
        f" {result['n_reference']} {reference} images, copies against {result['n_train']} training"
        f" images, mirrored or not{' (as in training)' if result['flip'] else ''}; features:"
        f" {result['features']}{_hash(result['feature_hash'])} at {result['resolution']} px"
        f" ({result['resize']}), K = {result['neighbours']}; Vendi about the mean training image;"
        f" autoencoder{_hash(result['autoencoder'])}."
    )


def curves(results: Sequence[Result], baseline: Result | None, path: Path) -> None:
    """Draw every column over `results` (the models of the loop, in order), `baseline` dashed."""
    names = [str(result["round"]) for result in results]
    with drawing(path, 13, 6) as figure:
        grid = figure.subplots(2, 4, sharex=True)
        for axes, column in zip(grid.flat, COLUMNS, strict=True):
            values = [_number(result.get(column.key)) for result in results]
            reference = _number(baseline.get(column.key) if baseline else None)
            axes.plot(range(len(names)), values, "o-", color=LOOP, label="loop", clip_on=False)
            if baseline:
                axes.axhline(reference, color=BASELINE, linestyle="--", label="baseline")
            axes.set_title(column.title, loc="left", fontweight="bold")
            axes.set_title(column.better and f"{column.better} is better", **HINT)
            axes.set_xticks(range(len(names)), names)
            axes.margins(x=0.08)
            _limit(axes, [*values, reference], share=column.key in SHARES)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False)


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
    """Draw a model's distance to the memorising field over t, and its copies by local density."""
    with drawing(path, 11, 4) as figure:
        left, right = figure.subplots(1, 2)
        left.plot(t_S, distance_S, "o-", color=LOOP, clip_on=False)
        left.axhline(0, color=BASELINE, linestyle="--", clip_on=False)
        note: dict[str, Any] = {"textcoords": "offset points", "color": BASELINE, "ha": "right"}
        left.annotate("learned by heart", (1, 0), (-4, 5), **note)
        left.set_title(f"{run}: distance to the memorising field", loc="left", fontweight="bold")
        left.set_xlabel("t (0 noise, 1 data)")
        left.set_xlim(0, 1)
        left.set_ylim(0, max(1.05, 1.05 * float(distance_S.max())))

        names = [f"{bin_.low:.3g} to {bin_.high:.3g}" for bin_ in bins]
        shares = [_number(bin_.memorised) for bin_ in bins]
        tops = [0.0 if np.isnan(share) else share for share in shares]
        right.bar(range(len(bins)), tops, color=LOOP)
        right.set_xticks(range(len(bins)), names)
        note |= {"color": GREY, "ha": "center"}
        for place, (bin_, top) in enumerate(zip(bins, tops, strict=True)):
            right.annotate(f"of {bin_.samples}", (place, top), (0, 4), **note)
        right.set_title("copies among the samples", loc="left", fontweight="bold")
        right.set_xlabel("real latents by local density, densest first: distance to a neighbour")
        _limit(right, shares, share=True)


def collapse(results: Sequence[Result], baseline: Result | None, path: Path) -> None:
    """Draw the collapse and the two Hausdorff distances over `results`, `baseline` dashed."""
    names = [str(result["round"]) for result in results]
    with drawing(path, 13, 3.8) as figure:
        for axes, panel in zip(figure.subplots(1, 3), COLLAPSE, strict=True):
            shown = zip(panel.lines, ("o-", "o:"), (LOOP, GREY), strict=False)
            for (key, label), marks, colour in shown:
                values = [_number(result.get(key)) for result in results]
                axes.plot(range(len(names)), values, marks, color=colour, label=label)
            if baseline:
                reference = _number(baseline.get(panel.lines[0][0]))
                axes.axhline(reference, color=BASELINE, linestyle="--", label="baseline")
            axes.set_title(panel.title, loc="left", fontweight="bold")
            axes.set_ylabel(panel.unit)
            axes.set_xticks(range(len(names)), names)
            axes.margins(x=0.08)
            axes.set_ylim(min(0, axes.get_ylim()[0]), 1.12 * axes.get_ylim()[1])
            axes.legend(frameon=False, fontsize=9)


def _curve(axes: Axes, steps: np.ndarray, values: np.ndarray, reach: float, **style: Any) -> None:
    """Draw a noisy curve faintly, and over it its mean over `reach` steps either side."""
    axes.plot(steps, values, color=style["color"], alpha=0.15, linewidth=0.5)
    total = np.cumsum(np.concatenate([[0.0], values]))
    first = np.searchsorted(steps, steps - reach)
    last = np.searchsorted(steps, steps + reach, side="right")
    axes.plot(steps, (total[last] - total[first]) / (last - first), linewidth=1.6, **style)


def _limit(axes: Axes, values: Sequence[float], *, share: bool) -> None:
    """Start at zero and leave room above; shares keep at least a tenth of their range."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", color=GREY)
    top = max([*finite, 0.0]) * 1.12
    axes.set_ylim(0, max(top, 0.1) if share else top or 1)
    if share and top > 0.9:
        axes.set_ylim(0, 1.03)


def _source(result: Result) -> str:
    """Say what the samples come from."""
    if result["generator"] == "mixup":
        return f"mixup of real latents with their {result['mixup_neighbours']} nearest, no network"
    if result["generator"] == "memory":
        return "real latents drawn with replacement, no network"
    steps = result["solver_steps"]
    return f"{result['solver']}, {steps} steps" if steps else f"{result['solver']}, adaptive"


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _hash(fingerprint: str | None) -> str:
    return f" {fingerprint[:12]}" if fingerprint else ""


@contextmanager
def drawing(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield a figure in Matplotlib's own style, whatever a user's settings say; write it as PNG.

    The bytes depend on the drawing alone: no date, no version.
    """
    import matplotlib as mpl  # noqa: PLC0415 - 1.3 s that only a report needs
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        yield figure
        figure.savefig(path, format="png", metadata={"Software": None})
