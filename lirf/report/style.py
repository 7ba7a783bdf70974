"""The looks of every picture that Matplotlib draws, whatever a user's settings say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
