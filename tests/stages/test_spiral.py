"""The study as a stage: a row a run, whatever the number of processes, and all it shows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lirf import params
from lirf.params import MLP, SpiralParams
from lirf.studies import study
from stages.spiral import spiral
from stages.support.command import Out

ROOT = Path(__file__).parents[2]
LOADED = params.load_study(
    params.SpiralParams, ROOT / "params.yaml", ROOT / "pipeline" / "studies" / "spiral.yaml"
)
NAMES = ("runs", "table", "samples", "fields")


@pytest.fixture
def numbers() -> SpiralParams:
    sizes = {
        "counts": (10, 12), "seeds": (0, 4), "samples": 30, "steps": 8, "cooldown": 2, "moments": 2,
        "batch": 8, "rows_each": 3, "network": MLP(kind="mlp", width=8, depth=1),
    }  # fmt: skip
    section = LOADED.spiral.model_copy(update=sizes)
    return LOADED.model_copy(update={"spiral": section})


def test_a_row_a_run_in_a_fixed_order(tmp_path: Path, numbers: SpiralParams):
    out = {name: Out(tmp_path / name) for name in NAMES}
    spiral(numbers, **out)
    header, *lines = (line.split("\t") for line in out["runs"].read_text().splitlines())
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    keys = [(int(row["count"]), row["method"], int(row["seed"])) for row in rows]
    assert keys == [(n, name, s) for n in (10, 12) for name in study.METHODS for s in (0, 4)]
    alone = study.run(numbers, study.MIXUP, 12, 4)[0].row
    there = rows[keys.index((12, study.MIXUP, 4))]
    assert {key: str(value) for key, value in alone.items()} == there
    table = out["table"].read_text()
    assert table.count(f"| {study.LOOP} |") == 2
    for name in ("samples", "fields"):
        with Image.open(out[name]) as image:
            assert len(np.unique(np.asarray(image))) > 50
