"""The pictures of a run: every number leaves a mark, and the same numbers the same bytes."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageColor

from lirf.measure.collapse import Bin
from lirf.report import figures, style

RESULT = {
    "memorised": 0.25, "precision": 0.9, "recall": 0.125, "density": 1.5, "coverage": 0.5,
    "frechet": 2.0, "vendi": 12.345, "bank_rows": 100,
}  # fmt: skip
BASELINE = {"round": "baseline", **RESULT, "memorised": 0.75}
LOOP = [{"round": name, **RESULT, "bank_rows": 100 * i} for i, name in enumerate(["r01", "r02"])]


def draw_curves(path, **changes):
    figures.curves([{**row, **changes} for row in LOOP], {**BASELINE, **changes}, path)


def draw_losses(path):
    steps = np.arange(1.0, 101.0)
    loop = {"r01": (steps, np.cos(steps)), "final": (100 + steps, np.sin(steps))}
    figures.losses(loop, (np.arange(1.0, 201.0), np.full(200, 2.0)), path)


DIAGNOSIS = {
    "collapse_real": 0.1, "collapse_bank": -0.05, "bank_to_reference": 1.1,
    "bank_to_reference_mean": 0.7, "reference_to_bank": 1.8, "reference_to_bank_mean": 1.0,
}  # fmt: skip


def draw_collapse(path):
    loop = [{"round": name, **DIAGNOSIS} for name in ("r01", "final")]
    figures.collapse(loop, {**DIAGNOSIS, "collapse_real": 0.5}, path)


def draw_diagnosis(path, *shares):
    bins = [Bin(i, i + 1.0, 5, 0 if c is None else 9, c) for i, c in enumerate(shares or (0.5, 1))]
    figures.diagnosis("r01", np.arange(4) / 4, np.array([0.1, 0.2, 0.4, 0.9]), bins, path)


@pytest.fixture(scope="module", params=[draw_curves, draw_losses, draw_collapse, draw_diagnosis])
def drawing(request, tmp_path_factory):
    """Return a function that draws, and what it drew."""
    path = tmp_path_factory.mktemp("drawing") / ".drawing.png.partial"  # need not end in .png
    request.param(path)
    return request.param, path.read_bytes()


def test_a_drawing_is_the_same_bytes_whatever_the_users_style(drawing, tmp_path):
    draw, first = drawing
    before = dict(mpl.rcParams)
    with mpl.rc_context({"axes.facecolor": "black", "lines.linewidth": 9, "font.size": 20}):
        draw(tmp_path / "second.png")
    assert first == (tmp_path / "second.png").read_bytes()
    assert dict(mpl.rcParams) == before


def test_a_drawing_says_nothing_but_what_it_shows(drawing):
    with Image.open(io.BytesIO(drawing[1])) as image:
        assert image.format == "PNG"
        assert set(image.info) <= {"dpi"}  # no date, no version
        assert min(image.size) > 300


def drawn(picture: bytes, colour: str) -> int:
    """Count the pixels that have exactly this colour."""
    with Image.open(io.BytesIO(picture)) as image:
        return int((np.asarray(image.convert("RGB")) == ImageColor.getrgb(colour)).all(-1).sum())


def test_loop_and_baseline_are_both_drawn(drawing):
    assert drawn(drawing[1], style.LOOP)
    assert drawn(drawing[1], style.BASELINE)


def test_a_bin_has_a_bar_as_high_as_its_share(tmp_path):
    draw_diagnosis(tmp_path / "full.png", 1.0, 1.0)
    draw_diagnosis(tmp_path / "half.png", 1.0, None)
    draw_diagnosis(tmp_path / "none.png", None, None)
    full, half, none = (
        drawn((tmp_path / f"{name}.png").read_bytes(), style.LOOP)
        for name in ("full", "half", "none")
    )
    assert half - none == pytest.approx((full - none) / 2, rel=0.02)


def test_a_metric_without_values_leaves_its_panel_empty(tmp_path):
    draw_curves(tmp_path / "all.png")
    draw_curves(tmp_path / "some.png", frechet=None)
    for colour in (style.LOOP, style.BASELINE):
        some, all_ = (drawn((tmp_path / f"{name}.png").read_bytes(), colour)
                      for name in ("some", "all"))  # fmt: skip
        assert 0.8 * all_ < some < all_  # one panel of eight
