"""The pictures: the same rows give the same bytes, and every row leaves a mark."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from lirf import params
from lirf.report import style
from lirf.studies import comparison, plan, tradeoff

PLAN = params.validate(
    plan.Plan,
    {
        "seed_keys": ["sample.seed"],
        "headline": "methods",
        "reference": "plain",
        "judged": "lirf",
        "datasets": {"digits": {}},
        "studies": {
            "methods": {
                "title": "Methods",
                "datasets": ["digits"],
                "seeds": [0],
                "rows": {
                    "plain": {"label": "plain", "target": "baseline"},
                    "steps": {
                        "label": "{} steps",
                        "oracle_of": "plain",
                        "grid": {"loop.steps": [40]},
                    },
                    "lirf": {"label": "LIRF"},
                },
            },
            "lambda": {
                "title": "Lambda",
                "datasets": ["digits"],
                "seeds": [0],
                "rows": {"fixed": {"label": "{}", "grid": {"loop.lambda": [0.2, 0.8]}}},
            },
        },
    },
    "plan",
)


def row(study: str, method: str, seed: int, **own: Any) -> dict[str, Any]:
    place = {"study": study, "dataset": "digits", "method": method, "seed": seed}
    values = {"precision": 0.9, "recall": 0.1, "density": 1.2, "coverage": 0.5, "train_steps": 160}
    return {**place, "target": "final", "vendi": 12.0, "bank_rows": 100, **values, **own}


ROWS = [
    *(row("methods", "plain", seed, memorised=0.6, frechet=0.3 + seed / 50) for seed in (0, 1)),
    *(row("methods", "steps-40", s, memorised=0.1, frechet=0.6, train_steps=40) for s in (0, 1)),
    *(row("methods", "lirf", seed, memorised=0.01, frechet=0.7 + seed / 50) for seed in (0, 1)),
    row("lambda", "fixed-0.2", 0, memorised=0.3, frechet=0.8),
    row("lambda", "fixed-0.8", 0, memorised=0.2, frechet=0.9),
]
FOUND = comparison.summarise(PLAN, ROWS)


def pixels(path: Path, colour: str) -> int:
    """Return how many pixels have exactly this colour."""
    with Image.open(path) as image:
        same = np.asarray(image.convert("RGB")) == ImageColor.getrgb(colour)
    return int(same.all(axis=2).sum())


def test_every_kind_of_point_is_there(tmp_path: Path):
    tradeoff.tradeoff(PLAN, FOUND, tmp_path / "all.png")
    own = comparison.summarise(PLAN, [r for r in ROWS if r["study"] == "methods"])
    tradeoff.tradeoff(PLAN, own, tmp_path / "own.png")
    plain = comparison.summarise(PLAN, [r for r in ROWS if r["method"] != "lirf"])
    tradeoff.tradeoff(PLAN, plain, tmp_path / "plain.png")
    dot = str(tradeoff.DOT["color"])
    assert pixels(tmp_path / "all.png", dot) > pixels(tmp_path / "own.png", dot)
    assert pixels(tmp_path / "own.png", style.LOOP) > 30
    assert pixels(tmp_path / "plain.png", style.LOOP) == 0
    assert pixels(tmp_path / "plain.png", style.BASELINE) > 100


def test_drawings_are_the_same_bytes(tmp_path: Path):
    for name in ("one", "other"):
        tradeoff.tradeoff(PLAN, FOUND, tmp_path / f"{name}.png")
        tradeoff.ablation(PLAN, "lambda", FOUND, tmp_path / f"{name}-lambda.png")
    for end in (".png", "-lambda.png"):
        assert (tmp_path / f"one{end}").read_bytes() == (tmp_path / f"other{end}").read_bytes()


@pytest.mark.parametrize("key", ["memorised", "frechet"])
def test_a_missing_number_is_left_out(tmp_path: Path, key: str):
    rows = [r | {key: None} if r["method"] in ("lirf", "fixed-0.2") else r for r in ROWS]
    found = comparison.summarise(PLAN, rows)
    tradeoff.tradeoff(PLAN, found, tmp_path / "tradeoff.png")
    tradeoff.ablation(PLAN, "lambda", found, tmp_path / "lambda.png")
    assert pixels(tmp_path / "tradeoff.png", style.LOOP) == 0
    assert pixels(tmp_path / "lambda.png", style.LOOP) > 100
