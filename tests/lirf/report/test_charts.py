"""Charts put every number where it belongs, and no text of theirs is markup."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.report import charts
from lirf.report.charts import Line

TICKS = [(0.0, "r01"), (1.0, "final")]
FLOOR = charts.HEIGHT - charts.BOTTOM
finite = st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-6)


def drawn(text: str) -> ET.Element:
    return ET.fromstring(text)


def places(root: ET.Element, kind: str) -> list[tuple[float, float]]:
    return [
        (float(dot.attrib["cx"]), float(dot.attrib["cy"]))
        for dot in root.iter("circle")
        if dot.attrib["class"] == kind
    ]


@given(st.lists(finite, min_size=2, max_size=2), finite)
def test_heights_are_in_proportion(values, level):
    root = drawn(
        charts.lines([Line("loop", list(enumerate(values)), dots=True)], "x", TICKS, level)
    )
    marks = {
        float(text.text or ""): float(text.attrib["y"]) - 3.5
        for text in root.iter("text")
        if text.attrib["text-anchor"] == "end" and not (text.text or "").startswith(("r", "f"))
    }
    (low, bottom), (high, top) = min(marks.items()), max(marks.items())
    assert low <= min([0, *values, level])
    assert high * 1.001 >= max([0, *values, level])

    def expected(value: float) -> float:
        return bottom + (value - low) / (high - low) * (top - bottom)

    for (_, y), value in zip(places(root, "loop"), values, strict=True):
        assert y == pytest.approx(expected(value), abs=0.5)
        assert charts.TOP - 0.5 <= y <= FLOOR + 0.5
    (dashed,) = [p.attrib["d"] for p in root.iter("path") if p.attrib["class"] == "baseline"]
    assert float(dashed.split()[1].split("H")[0]) == pytest.approx(expected(level), abs=0.5)


def test_a_point_without_a_value_breaks_its_line():
    points = [(0.0, 1.0), (0.25, 2.0), (0.5, None), (0.75, 1.0), (1.0, 1.0)]
    root = drawn(charts.lines([Line("loop", points, dots=True)], "x", TICKS))
    (path,) = [p.attrib["d"] for p in root.iter("path") if p.attrib["class"] == "loop"]
    assert re.sub(r"[\d. ]", "", path) == "MLML"
    assert len(places(root, "loop")) == 4


def test_a_chart_without_values_says_so():
    assert "no value" in charts.lines([Line("loop", [(0.0, None), (1.0, None)])], "x", TICKS)


def test_text_is_escaped():
    hostile = '"><script>&'
    text = charts.lines([Line("loop", [(0, 1), (1, 2)])], hostile, [(0, hostile), (1, "")])
    root = drawn(text)
    assert root.attrib["aria-label"] == hostile
    assert hostile in [element.text for element in root.iter("text")]
    assert "script" not in {
        element.tag for element in drawn(charts.bars([(hostile, [("x", 1.0)])], "", 1)).iter()
    }


def test_a_bar_is_as_high_as_its_share():
    root = drawn(
        charts.bars([("a", [("loop", 0.5), ("baseline", 1.0)]), ("b", [("loop", None)])], "x", 1)
    )
    half, full, none = (float(bar.attrib["height"]) for bar in root.iter("rect"))
    assert full == pytest.approx(FLOOR - charts.TOP)
    assert half == pytest.approx(full / 2)
    assert none == 0


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 10)), max_size=700))
def test_a_thinned_curve_keeps_its_mean_and_its_order(points):
    points.sort()
    found = charts.thinned(points)
    assert len(found) <= charts.MOST_POINTS
    assert [x for x, _ in found] == sorted(x for x, _ in found)
    if points:
        size = math.ceil(len(points) / charts.MOST_POINTS)
        weights = [min(size, len(points) - i * size) for i in range(len(found))]
        total = sum((y or 0) * weight for (_, y), weight in zip(found, weights, strict=True))
        assert total == pytest.approx(sum(y for _, y in points), abs=1e-6)


@given(st.floats(1e-9, 1e9))
def test_steps_are_round_and_not_too_short(least):
    step = charts.round_step(least)
    assert least * (1 - 1e-6) <= step <= 2.5 * least * (1 + 1e-6)
    digits = f"{step:.3e}".partition("e")[0]
    assert float(digits) in (1, 2, 2.5, 5)
