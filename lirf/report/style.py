"""The looks of everything that Matplotlib draws: pictures as PNG, charts of the page as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOP = "#0072B2"  # blue and vermilion of the Okabe-Ito palette
BASELINE = "#D55E00"
GREY = "#767676"
LINE = "#E4E4E4"
INK = "#202020"
VARIABLES = {LOOP: "loop", BASELINE: "baseline", GREY: "second", LINE: "line", INK: "quiet"}
"""What the page's style sheet calls a colour, which it chooses by day and by night."""

DPI = 110
HINT: dict[str, Any] = {"loc": "right", "color": GREY, "fontsize": 9}
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "font.family": "DejaVu Sans",  # comes with Matplotlib
    "text.parse_math": False,
}

SMALL: dict[Any, Any] = {
    "font.size": 10.5,
    "grid.linewidth": 1,
    "lines.linewidth": 2,
    "lines.markeredgewidth": 0,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
}
WIDTH, HEIGHT = 240, 150
LEFT, RIGHT, TOP, BOTTOM = 34, 12, 12, 22
"""Of a chart of the page and its margins; the page scales it."""


@contextmanager
def drawing(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield a figure in Matplotlib's own style, whatever a user's settings say; write it as PNG.

    The bytes depend on the drawing alone: no date, no version.
    """
    with _figure({}, figsize=(width, height), dpi=DPI, layout="constrained") as figure:
        yield figure
        figure.savefig(path, format="png", metadata={"Software": None})


def inline(label: str, draw: Callable[[Axes], None]) -> Markup:
    """Return what `draw` draws as a small chart of the page: SVG whose colours are the page's.

    `label` is what a screen reader says of it. The bytes depend on both alone. Text is text, which
    the page's style sheet sizes, and ids are those of this chart alone.
    """
    place = (LEFT, BOTTOM, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    left, bottom, width, height = (
        side / whole for side, whole in zip(place, (WIDTH, HEIGHT) * 2, strict=True)
    )
    own = SMALL | {"svg.hashsalt": label}
    with _figure(own, figsize=(WIDTH / 72, HEIGHT / 72), dpi=72) as figure:
        draw(figure.add_axes((left, bottom, width, height)))
        text = io.StringIO()
        none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=none)
    return _for_the_page(text.getvalue(), label)


@contextmanager
def _figure(style: dict[Any, Any], **how: Any) -> Iterator[Figure]:
    """Yield a figure while this style is the only one."""
    import matplotlib as mpl  # noqa: PLC0415 - 1.3 s that only a report needs
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE | style)
        yield Figure(**how)


def _for_the_page(text: str, label: str) -> Markup:
    """Return Matplotlib's SVG without what a page has of its own: sizes, fonts, colours, names."""
    _, _, body = text.partition("</defs>")  # behind the style of the whole document
    body = re.sub(r"<[^>]*>", lambda tag: _plain(tag[0]), body)
    body = re.sub(r">\s+<", "><", body.strip())
    return Markup(  # noqa: S704 - Matplotlib escapes the text that it writes
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(label)}">{body}'
    )


def _plain(tag: str) -> str:
    """Return a tag of Matplotlib's whose colours are variables, without fonts and unused names."""
    if tag.startswith("<g "):
        return "<g>"
    tag = re.sub(r"(font-[a-z]+|fill: none; stroke-linejoin): [^;\"]*;? ?", "", tag)
    for colour, name in VARIABLES.items():
        tag = tag.replace(colour.lower(), f"var(--{name})")
    return tag.replace("xlink:href", "href").replace("\n", "")
