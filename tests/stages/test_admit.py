"""Admission writes a row and a reason for every candidate, and is loud when nothing passes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lirf.params import Admit, Params, load
from lirf.store import banks, parts, tables
from lirf.store.space import Space
from stages.admit import admit
from stages.support.command import Out

SPACE = Space("points", (1, 1, 1), (0.0,), (1.0,))
POLICY = {
    "rule": "quantile",
    "quantile": 1.0,
    "spacing": 1.0,
    "tau": 0.1,
    "novelty": 0.5,
    "share": 1.0,
    "restore": 0.0,
}
BANK = [-10.0, -4.0, 4.0]


@pytest.fixture
def params() -> Params:
    numbers = load(Path(__file__).parents[2] / "params.yaml")
    return numbers.model_copy(update={"admit": Admit.model_validate(POLICY)})


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return four candidates, two anchors and the bank: threshold 2, floor 3."""
    rows = pa.table(
        {
            "id": ["a", "b", "c", "d"],
            "displacement": [1.0, 1.5, 3.0, 4.0],
            "novelty": [5.0, 1.0, 6.0, 2.0],
        }
    )
    attributes = {"lambda": 0.8, "spacing": 6.0}
    latents = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)
    known = np.array(BANK, np.float32).reshape(3, 1, 1, 1)
    columns = {"id": ["x", "y", "z"], "kind": ["real"] * 3}
    banks.write(tmp_path / "bank", "r00", known, banks.bank_rows(columns), SPACE)
    banks.write_latents(tmp_path / "corrected", latents, rows, SPACE, **attributes)
    tables.write(tmp_path / "anchors", pa.table({"id": ["x", "y"], "displacement": [1.0, 2]}))
    return tmp_path / "corrected", tmp_path / "anchors", tmp_path / "bank"


def outs(folder: Path) -> tuple[Out, Out, Out]:
    return Out(folder / "admitted"), Out(folder / "decision"), Out(folder / "metrics")


def test_a_row_and_a_reason_for_every_candidate(
    tmp_path: Path,
    params: Params,
    inputs: tuple[Path, Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    admit(params, "r01", *inputs, *outs(tmp_path))
    assert tables.read(tmp_path / "decision").to_pydict() == {
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
        "bank_after": 4,
        "too_far": 2,
        "too_close": 1,
        "crowded": 0,
        "threshold": 2.0,
        "floor": 3.0,
        "median_displacement": 2.25,
        "median_novelty": 3.5,
        "lambda": 0.8,
        "rule": "quantile",
    }
    assert capsys.readouterr().err == ""
    joining = banks.read_latents(tmp_path / "admitted")
    assert joining.latents.tolist() == [[[[0.0]]]]
    assert joining.rows["id"].to_pylist() == ["a"]


def test_the_latents_that_join_are_restored(
    tmp_path: Path, params: Params, inputs: tuple[Path, Path, Path]
) -> None:
    changes = {**POLICY, "quantile": 1.0, "novelty": 0.0, "restore": 1.0, "spacing": 100.0}
    policy = Admit.model_validate({**changes, "rule": "spacing"})
    numbers = params.model_copy(update={"admit": policy})
    admit(numbers, "r01", *inputs, *outs(tmp_path))
    joining = banks.read_latents(tmp_path / "admitted")
    assert joining.latents.mean() == pytest.approx(np.mean(BANK), rel=1e-5)
    assert joining.latents.std(ddof=1) == pytest.approx(np.std(BANK, ddof=1), rel=1e-5)
    expected = [min(abs(z - x) for x in BANK) for z in joining.latents.ravel()]
    np.testing.assert_allclose(joining.rows["novelty"].to_numpy(), expected, rtol=1e-5)


def test_candidates_of_another_space_are_refused(
    tmp_path: Path, params: Params, inputs: tuple[Path, Path, Path]
) -> None:
    part = parts.read(inputs[0])
    other = Space("other", (1, 1, 1), (0.0,), (1.0,))
    attributes = {"lambda": 0.8, "spacing": 6.0}
    banks.write_latents(tmp_path / "alien", part.array, part.rows, other, **attributes)
    with pytest.raises(ValueError, match="another space"):
        admit(params, "r01", tmp_path / "alien", *inputs[1:], *outs(tmp_path))
    assert not (tmp_path / "admitted").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_names_its_row(
    tmp_path: Path, params: Params, inputs: tuple[Path, Path, Path], bad: float
):
    corrected, anchors, bank = inputs
    tables.write(anchors, pa.table({"id": ["x", "y"], "displacement": [1.0, bad]}))
    with pytest.raises(ValueError, match=r"anchors: the displacement of y is not finite"):
        admit(params, "r01", corrected, anchors, bank, *outs(tmp_path))


def test_a_round_that_admits_nothing_is_loud(
    tmp_path: Path,
    params: Params,
    inputs: tuple[Path, Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    published = Admit.model_validate({**POLICY, "rule": "published"})
    params = params.model_copy(update={"admit": published})
    admit(params, "r02", *inputs, *outs(tmp_path))
    assert json.loads((tmp_path / "metrics").read_text())["admitted"] == 0
    line = capsys.readouterr().err
    assert line.startswith("warning: r02: none of 4 candidates is admitted")
    assert "set admit.tau to" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(("stage", "loaded"), [("admit", ["faiss"]), ("merge", [])])
def test_starts_without_anything_heavy(stage: str, loaded: list[str]) -> None:
    program = (
        f"import sys, stages.{stage}\n"
        "heavy = {'torch', 'faiss', 'scipy', 'sklearn', 'diffusers', 'timm', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{loaded}\n"
    assert time.perf_counter() - started < 10, "1.5 s on an idle core; this is a runaway"
