"""The stage measures what the policy needs: against the right rows, with the right ids."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from written import files

from lirf.densify import slerp
from lirf.params import Correct, Params, Round, load
from lirf.store import banks, parts, tables
from lirf.store.space import Space
from stages.correct import correct
from stages.support.command import Out

SPACE = Space("points", (4, 2, 2), (0.0,) * 4, (1.0,) * 4)
CONFIG = Correct(
    operator="slerp", window=None, reach=0, references="bank",
    neighbours=3, temperature=1.0, dimensions=2,
)  # fmt: skip
IMAGES = 10


@pytest.fixture
def params() -> Params:
    numbers = load(Path(__file__).parents[2] / "params.yaml")
    return numbers.model_copy(
        update={
            "correct": CONFIG,
            "rounds": {"r01": Round.model_validate({"after": "r00", "lambda": 0.5})},
        }
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def bank_rows(ids: list[str], **columns: Any) -> pa.Table:
    values = {"id": ids, "round": ["r00"] * len(ids), "kind": ["real"] * len(ids), **columns}
    return banks.bank_rows(values)


def write_bank(folder: Path, latents_NCHW: np.ndarray, flips: bool = False) -> Path:
    """Write a bank of real rows; with flips every second row is the twin of the one before."""
    count = len(latents_NCHW)
    source = [f"{(i // 2 if flips else i):02}.png" for i in range(count)]
    twin = [flips and i % 2 == 1 for i in range(count)]
    rows = bank_rows([f"train-{i:05}" for i in range(count)], source=source, flip=twin)
    banks.write(folder, "r00", latents_NCHW, rows, SPACE)
    return folder


def write_candidates(folder: Path, latents_MCHW: np.ndarray, space: Space = SPACE) -> Path:
    count = len(latents_MCHW)
    rows = pa.table(
        {
            "id": [f"r01-{i:05}" for i in range(count)],
            "seed": pa.array(range(100, 100 + count), pa.int64()),
        }
    )
    # Not by `write_latents`, which refuses what is not finite.
    parts.write(folder, latents_MCHW, rows, {"space": space.to_json()})
    return folder


def latents(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.standard_normal((count, 4, 2, 2)).astype(np.float32)


def outputs(folder: Path) -> tuple[Out, Out]:
    return Out(folder / "out"), Out(folder / "anchors")


def test_every_column_follows_from_the_latents(
    tmp_path: Path, params: Params, rng: np.random.Generator
) -> None:
    real, fresh = latents(rng, IMAGES), latents(rng, 30)
    bank, candidates = write_bank(tmp_path / "b", real), write_candidates(tmp_path / "c", fresh)
    correct(params, "r01", candidates, bank, *outputs(tmp_path))

    done = banks.read_latents(tmp_path / "out")
    assert done.space == SPACE
    assert done.rows["id"].to_pylist() == [f"r01-{i:05}" for i in range(30)]
    assert done.rows["seed"].to_pylist() == list(range(100, 130))
    assert set(done.rows["lambda"].to_pylist()) == {0.5}
    moved = np.linalg.norm((done.latents - fresh).reshape(30, -1), axis=1)
    np.testing.assert_allclose(done.rows["displacement"].to_numpy(), moved, rtol=1e-5)
    apart = (done.latents[:, None] - real[None]).reshape(30, IMAGES, -1)
    nearest = np.linalg.norm(apart, axis=2).min(axis=1)
    np.testing.assert_allclose(done.rows["novelty"].to_numpy(), nearest, rtol=1e-5)
    for row, (z, parents, weights) in enumerate(
        zip(
            fresh.reshape(30, -1),
            done.rows["parents"].to_pylist(),
            done.rows["weights"].to_pylist(),
            strict=True,
        )
    ):
        flat = real.reshape(IMAGES, -1)
        cosine = flat @ z / np.linalg.norm(flat, axis=1) / np.linalg.norm(z)
        best = np.argsort(-cosine)[:3]
        assert parents == [f"train-{i:05}" for i in best], row
        odds = np.exp(cosine[best])
        np.testing.assert_allclose(weights, odds / odds.sum(), rtol=1e-5)


def test_spacings_and_anchors_leave_an_image_and_its_twin_out(
    tmp_path: Path, params: Params, rng: np.random.Generator
) -> None:
    """Twins lie 1000 times closer to each other than to anything else."""
    images = latents(rng, IMAGES)
    real = np.repeat(images, 2, axis=0) + np.float32(1e-3) * latents(rng, 2 * IMAGES)
    bank = write_bank(tmp_path / "b", real, flips=True)
    candidates = write_candidates(tmp_path / "c", latents(rng, 5))
    correct(params, "r01", candidates, bank, *outputs(tmp_path))

    _, attributes = parts.read_rows(tmp_path / "out")
    flat = real.reshape(2 * IMAGES, -1)
    other = np.arange(2 * IMAGES)[:, None] // 2 != np.arange(2 * IMAGES) // 2
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    expected = np.median(np.where(other, apart, np.inf).min(axis=1))
    assert attributes["spacing"] == pytest.approx(expected, rel=1e-5)
    assert attributes["lambda"] == 0.5

    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    best = np.argsort(np.where(other, -(unit @ unit.T), np.inf), axis=1, kind="stable")[:, :3]
    left_out = slerp.correct(torch.from_numpy(flat), torch.from_numpy(flat[best]), 1.0, 0.5)
    anchors = tables.read(tmp_path / "anchors")
    assert anchors["id"].to_pylist() == [f"train-{i:05}" for i in range(2 * IMAGES)]
    np.testing.assert_allclose(
        anchors["displacement"].to_numpy(), left_out.displacement.numpy(), rtol=1e-5
    )


def test_refined_rows_are_neighbours_but_not_real(
    tmp_path: Path, params: Params, rng: np.random.Generator
) -> None:
    real, refined = latents(rng, IMAGES), latents(rng, 8)
    first = write_bank(tmp_path / "r00", real)
    rows = bank_rows([f"r01-{i:05}" for i in range(8)], kind=["refined"] * 8, round=["r01"] * 8)
    banks.write(tmp_path / "r01", "r01", refined, rows, SPACE, first)
    candidates = write_candidates(tmp_path / "c", refined)  # copies of the refined rows
    correct(params, "r01", candidates, tmp_path / "r01", *outputs(tmp_path))
    done, attributes = parts.read_rows(tmp_path / "out")
    corrected = banks.read_latents(tmp_path / "out").latents
    apart = np.linalg.norm((corrected[:, None] - real[None]).reshape(8, IMAGES, -1), axis=2)
    np.testing.assert_allclose(done["novelty"].to_numpy(), apart.min(axis=1), rtol=1e-5)
    assert [parents[0] for parents in done["parents"].to_pylist()] == rows["id"].to_pylist()
    assert tables.read(tmp_path / "anchors").num_rows == IMAGES
    pairs = np.linalg.norm((real[:, None] - real[None]).reshape(IMAGES, IMAGES, -1), axis=2)
    alone = np.median(np.where(np.eye(IMAGES, dtype=bool), np.inf, pairs).min(axis=1))
    assert attributes["spacing"] == pytest.approx(alone, rel=1e-5)


def test_same_inputs_same_bytes(tmp_path: Path, params: Params, rng: np.random.Generator) -> None:
    bank = write_bank(tmp_path / "b", latents(rng, IMAGES))
    candidates = write_candidates(tmp_path / "c", latents(rng, 30))
    for name in "12":
        (tmp_path / name).mkdir()
        correct(params, "r01", candidates, bank, *outputs(tmp_path / name))
    assert files(tmp_path / "1") == files(tmp_path / "2")
    assert "anchors" in files(tmp_path / "1")


def failing(tmp_path: Path, params: Params, bank: Path, candidates: Path, run: str = "r01") -> str:
    """Return the one line that the stage fails with."""
    with pytest.raises(ValueError, match=r"\S") as error:
        correct(params, run, candidates, bank, *outputs(tmp_path))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    return str(error.value)


def test_mistakes_are_one_line(tmp_path: Path, params: Params, rng: np.random.Generator) -> None:
    fresh = latents(rng, 6)
    bank, good = (
        write_bank(tmp_path / "b", latents(rng, 4)),
        write_candidates(tmp_path / "g", fresh),
    )
    fresh[4, 0, 0, 0] = np.nan
    broken = write_candidates(tmp_path / "n", fresh)
    alien = write_candidates(
        tmp_path / "a", fresh, Space("other", (4, 2, 2), (0.0,) * 4, (1.0,) * 4)
    )
    line = failing(tmp_path, params, bank, broken)
    assert "n: the latent of r01-00004 is not finite" in line
    assert "another space" in failing(tmp_path, params, bank, alien)
    assert "r09" in failing(tmp_path, params, bank, good, "r09")
    none = write_candidates(tmp_path / "0", fresh[:0])
    assert "r01: there are no candidates; raise sample.ratio" in failing(
        tmp_path, params, bank, none
    )
    four: dict[str, Any] = {"neighbours": 4}
    many = params.model_copy(update={"correct": CONFIG.model_copy(update=four)})
    assert "correct.neighbours = 4" in failing(tmp_path, many, bank, good)
    assert "only 3 rows" in failing(tmp_path, many, bank, good)
    four["references"] = "real"
    many = params.model_copy(update={"correct": CONFIG.model_copy(update=four)})
    assert "only 3 real rows" in failing(tmp_path, many, bank, good)
