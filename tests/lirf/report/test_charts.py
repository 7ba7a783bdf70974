"""Charts put every number where it belongs, over an axis that starts at zero."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lirf.report import charts, style
from lirf.report.charts import Line

TICKS = [(0.0, "r01"), (1.0, "final")]
finite = st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-6)


def axes() -> Axes:
    return Figure().add_subplot()


def drawn(on: Axes, colour: str) -> list[list[float]]:
    """Return the heights of the lines of a colour."""
    return [
        np.asarray(line.get_ydata(), float).tolist()
        for line in on.get_lines()
        if to_hex(line.get_color()) == colour.lower()
    ]


@given(st.lists(finite, min_size=2, max_size=2), finite)
def test_the_axis_holds_all_from_zero_to_round_numbers(values, level):
    on = axes()
    charts.lines(on, [Line("loop", list(enumerate(values)), dots=True)], TICKS, level)
    assert drawn(on, style.LOOP) == [values]
    assert drawn(on, style.BASELINE) == [[level, level]]
    (low, high), ticks = on.get_ylim(), on.get_yticks()
    rounding = 1e-6 * (high - low)
    assert low <= min(0, *values, level) + rounding
    assert high >= max(0, *values, level) - rounding
    assert (low, high) == (ticks[0], ticks[-1])
    assert 2 <= len(ticks) <= charts.TICKS + 2
    assert min(map(abs, ticks)) <= rounding
    step = np.diff(ticks).mean()
    assert round(step / 10 ** math.floor(math.log10(step)), 6) in {1, 2, 2.5, 5}
    assert [float(text.get_text()) for text in on.get_yticklabels()] == pytest.approx(list(ticks))


def test_held_out_images_are_a_dotted_line_within_the_axis():
    on = axes()
    charts.lines(on, [Line("loop", [(0.0, 1.0), (1.0, 2.0)])], TICKS, control=9.0)
    assert [9.0, 9.0] in drawn(on, style.GREY)
    assert on.get_ylim()[1] >= 9


def test_a_point_without_a_value_leaves_a_gap():
    on = axes()
    points = [(0.0, 1.0), (0.25, None), (0.5, 2.0), (1.0, 2.0)]
    charts.lines(on, [Line("second", points), Line("faint", [])], TICKS)
    assert [1, 2, 2] in [[y for y in line if not math.isnan(y)] for line in drawn(on, style.GREY)]
    assert drawn(on, style.LOOP) == [[]]
    assert [text.get_text() for text in on.get_xticklabels()] == ["r01", "final"]


@pytest.mark.parametrize("dots", [False, True])
def test_dots_stand_off_the_sides(dots: bool):
    on = axes()
    charts.lines(on, [Line("loop", [(0.0, 1.0), (1.0, 2.0)], dots)], TICKS)
    assert (on.get_xlim() == (0, 1)) == (not dots)


def test_one_model_is_enough():
    on = axes()
    charts.lines(on, [Line("loop", [(0.0, 1.0)], dots=True)], TICKS[:1])
    low, high = on.get_xlim()
    assert low < 0 < high


def test_a_chart_without_values_says_so():
    on = axes()
    charts.lines(on, [Line("loop", [(0.0, None), (1.0, None)])], TICKS)
    assert [text.get_text() for text in on.texts] == ["no value"]
    assert on.get_ylim() == (0, 1)


def test_a_bar_is_as_high_as_its_share():
    on = axes()
    charts.bars(on, [("a", [("loop", 0.5), ("baseline", 1.0)]), ("b", [("loop", None)])], 1)
    found = [bar for bar in on.patches if isinstance(bar, Rectangle)]
    loop, baseline = style.LOOP.lower(), style.BASELINE.lower()
    shown = [(to_hex(bar.get_facecolor()), bar.get_height()) for bar in found]
    assert shown == [(loop, 0.5), (baseline, 1.0), (loop, 0.0)]
    edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in found]
    assert edges == sorted(edges)
    assert all(right < left for (_, right), (left, _) in pairwise(edges))
    assert on.get_ylim() == (0, 1)


@given(st.lists(st.floats(-1e3, 1e3), max_size=1000))
def test_a_thinned_curve_has_the_means_of_its_pieces(values):
    points = list(enumerate(values))
    found = charts.thinned(points)
    assert len(found) <= charts.MOST_POINTS
    size = math.ceil(len(points) / charts.MOST_POINTS) if points else 1
    for place, (x, y) in enumerate(found):
        piece = points[place * size : (place + 1) * size]
        assert x == pytest.approx(sum(at for at, _ in piece) / len(piece))
        assert y == pytest.approx(sum(value for _, value in piece) / len(piece), abs=1e-9)


@given(st.integers(1, 10**7))
def test_steps_are_marked_at_round_numbers_up_to_the_last(last: int):
    found = charts.steps(axes(), last)
    assert found[0] == (0, "0")
    assert found[-1] == (last, "")
    assert 2 <= len(found) <= charts.TICKS + 3
    assert all(at == float(text) <= last for at, text in found[:-1])
