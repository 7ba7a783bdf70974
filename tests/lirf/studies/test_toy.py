"""What the spiral study shows: a table of means, and pictures that are the same bytes each time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lirf import params
from lirf.store.space import Space
from lirf.studies import study, toy
from lirf.studies.spiral import Spiral
from lirf.studies.study import Ground, Outcome

ROOT = Path(__file__).parents[3]
LOADED = params.load_study(
    params.SpiralParams, ROOT / "params.yaml", ROOT / "pipeline" / "studies" / "spiral.yaml"
)
COUNT = 12
CURVE = Spiral(turns=1.5, noise=0.1)


def ground(count: int) -> Ground:
    space = Space("spiral", (2, 1, 1), (0.1, 0.0), (1.5, 1.0))
    return Ground(CURVE, CURVE.points(count, 0), CURVE.points(30, 1), space, 0)


def outcome(seed: int) -> Outcome:
    row = {"covered": 0.5, "off": 0.1}
    return Outcome("plain", row, CURVE.points(30, seed), {})


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def to_one(x_BCHW: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
    return (1 - x_BCHW) / (1 - t_B[:, None, None, None]).clamp(min=0.1)


@pytest.mark.parametrize("counts", [[10], [10, 20, 50]])
def test_samples_have_a_row_a_count_and_a_column_a_method(tmp_path: Path, counts: list[int]):
    grounds = {count: ground(count) for count in counts}
    found = {(count, name): outcome(count) for count in counts for name in ("plain", "loop")}
    for name in "ab":
        toy.samples(grounds, found, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    height, width, _ = pixels(tmp_path / "a").shape
    assert width == 660
    assert height == pytest.approx(346 * len(counts), abs=2)
    toy.samples(grounds, {**found, (10, "loop"): outcome(99)}, tmp_path / "c")
    changed = (pixels(tmp_path / "a") != pixels(tmp_path / "c")).any(axis=(0, 2))
    assert changed[350:].any()
    assert not changed[:310].any()


def test_fields_have_a_row_a_count_and_a_column_a_method(tmp_path: Path):
    grounds = {count: ground(count) for count in (10, 20)}
    shown = {(count, name): to_one for count in grounds for name in ("one", "two")}
    away = {(10, "one"): lambda x_BCHW, t_B: -to_one(x_BCHW, t_B)}
    for name, velocities in {"a": shown, "b": shown, "c": {**shown, **away}}.items():
        toy.fields(grounds, velocities, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    first, other = pixels(tmp_path / "a"), pixels(tmp_path / "c")
    assert first.shape[1] == 660
    changed = (first != other).any(axis=2)
    assert changed[:340, :330].any()
    assert not changed[:, 345:].any()
    assert not changed[350:].any()


def test_the_table_has_mean_and_deviation_over_the_seeds():
    small = {"counts": (COUNT,), "seeds": (0, 1), "samples": 40, "steps": 60, "cooldown": 10}
    spiral = LOADED.spiral.model_copy(update=small)
    numbers = LOADED.model_copy(update={"spiral": spiral})
    rows = [
        {
            "count": COUNT,
            "seed": seed,
            "method": method,
            **dict.fromkeys(toy.COLUMNS, 1 + seed / 2),
        }
        for method in study.METHODS
        for seed in (0, 1)
    ]
    header, _, *lines = toy.table(rows, numbers).splitlines()
    assert header.count("|") == 3 + len(toy.COLUMNS)
    for line, method in zip(lines, study.METHODS, strict=False):
        cells = " 1.250 ± 0.354 |" * (len(toy.COLUMNS) - 1)
        assert line == f"| {COUNT} | {method} |{cells} 1 ± 0 |"
    assert "over seeds 0, 1; 40 samples" in lines[-1]
    assert "60 optimiser steps each, over the last 10 of which the learning rate" in lines[-1]
