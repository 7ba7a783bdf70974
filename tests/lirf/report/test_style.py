"""Charts of the page have its colours, ids of their own, and no markup in their text."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.axes import Axes

from lirf.report import style

HOSTILE = '"><script>$x_2$&'


def dots(colour: str = style.LOOP, name: str = "r01") -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        axes.plot([0, 1, 2], [1, 2, 3], "o-", color=colour)
        axes.set_xticks([0, 2], [name, "final"])

    return draw


def test_a_chart_is_the_same_bytes_whatever_the_users_style():
    before = dict(mpl.rcParams)
    first = style.inline("x", dots())
    with mpl.rc_context({"axes.facecolor": "black", "lines.linewidth": 9, "svg.fonttype": "path"}):
        assert style.inline("x", dots()) == first
    assert dict(mpl.rcParams) == before


def test_text_is_text_and_no_markup():
    root = ET.fromstring(style.inline(HOSTILE, dots(name=HOSTILE)))
    assert root.attrib["aria-label"] == HOSTILE
    assert HOSTILE in [element.text for element in root.iter("text")]
    assert {element.tag for element in root.iter()} <= {
        "svg", "g", "path", "text", "defs", "use", "clipPath", "rect"
    }  # fmt: skip


def test_colours_are_those_of_the_page():
    sheet = (Path(style.__file__).parent / "page.css").read_text()
    for colour, name in style.VARIABLES.items():
        assert sheet.count(f"--{name}: ") == 2, "one by day, one by night"
        svg = style.inline("x", dots(colour))
        assert f"stroke: var(--{name})" in svg
        assert "font" not in svg
        assert not re.search(r"#[0-9a-fA-F]{6}", svg.replace("#000000", ""))


def test_a_chart_scales_and_its_ids_are_its_own():
    one, other = (style.inline(label, dots()) for label in ("one", "other"))
    found = [re.findall(r' id="([^"]+)"', text) for text in (one, other)]
    assert found[0]
    assert len(set(found[0] + found[1])) == len(found[0]) + len(found[1])
    for text, ids in zip((one, other), found, strict=True):
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)) <= {
            pair for id_ in ids for pair in ((id_, ""), ("", id_))
        }
        root = ET.fromstring(text)
        assert root.attrib["viewBox"] == f"0 0 {style.WIDTH} {style.HEIGHT}"
        assert not {"width", "height"} & root.attrib.keys()
