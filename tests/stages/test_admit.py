"""Admission writes a row and a reason for every candidate, and is loud when nothing passes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lirf import store
from lirf.params import Admit, Params, load
from lirf.space import Space
from stages.admit import admit
from stages.command import Out

SPACE = Space("points", (1, 1, 1), (0.0,), (1.0,))
POLICY = {"rule": "quantile", "quantile": 1.0, "spacing": 1.0, "tau": 0.1, "novelty": 0.5}


@pytest.fixture
def params() -> Params:
    numbers = load(Path(__file__).parents[2] / "params.yaml")
    return numbers.model_copy(update={"admit": Admit.model_validate(POLICY)})


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    """Return four candidates and two anchors: threshold 2, floor 3."""
    rows = pa.table(
        {
            "id": ["a", "b", "c", "d"],
            "displacement": [1.0, 1.5, 3.0, 4.0],
            "novelty": [5.0, 1.0, 6.0, 2.0],
        }
    )
    attributes = {"lambda": 0.8, "bank_rows": 50, "spacing": 6.0}
    latents = np.zeros((4, 1, 1, 1), np.float32)
    store.write_latents(tmp_path / "corrected", latents, rows, SPACE, **attributes)
    store.write_table(tmp_path / "anchors", pa.table({"id": ["x", "y"], "displacement": [1.0, 2]}))
    return tmp_path / "corrected", tmp_path / "anchors"


def test_a_row_and_a_reason_for_every_candidate(
    tmp_path: Path,
    params: Params,
    inputs: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    admit(params, "r01", *inputs, Out(tmp_path / "decision"), Out(tmp_path / "metrics"))
    assert store.read_table(tmp_path / "decision").to_pydict() == {
        "id": ["a", "b", "c", "d"],
        "admitted": [True, False, False, False],
        "reason": ["admitted", "too close", "too far", "too far"],
        "displacement": [1.0, 1.5, 3.0, 4.0],
        "threshold": [2.0] * 4,
        "novelty": [5.0, 1.0, 6.0, 2.0],
        "floor": [3.0] * 4,
    }
    assert json.loads((tmp_path / "metrics").read_text()) == {
        "candidates": 4,
        "admitted": 1,
        "bank_after": 51,
        "too_far": 2,
        "too_close": 1,
        "threshold": 2.0,
        "floor": 3.0,
        "median_displacement": 2.25,
        "median_novelty": 3.5,
        "lambda": 0.8,
        "rule": "quantile",
    }
    assert capsys.readouterr().err == ""


def test_a_round_that_admits_nothing_is_loud(
    tmp_path: Path,
    params: Params,
    inputs: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    published = Admit.model_validate({**POLICY, "rule": "published"})
    params = params.model_copy(update={"admit": published})
    admit(params, "r02", *inputs, Out(tmp_path / "decision"), Out(tmp_path / "metrics"))
    assert json.loads((tmp_path / "metrics").read_text())["admitted"] == 0
    line = capsys.readouterr().err
    assert line.startswith("warning: r02: none of 4 candidates is admitted")
    assert "set admit.tau to" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("stage", ["admit", "merge"])
def test_starts_without_anything_heavy(stage: str) -> None:
    program = (
        f"import sys, stages.{stage}\n"
        "heavy = {'torch', 'faiss', 'scipy', 'sklearn', 'diffusers', 'timm', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
    assert time.perf_counter() - started < 10, "1.5 s on an idle core; this is a runaway"
