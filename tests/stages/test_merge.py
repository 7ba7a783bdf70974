"""A merge adds a part and touches nothing else; every row of it leads back to real images."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from written import files

from lirf.params import Admit, Correct, Params, Round, load
from lirf.store import banks, tables
from lirf.store.space import Space
from stages.admit import admit
from stages.correct import correct
from stages.merge import merge
from stages.support.command import Out

SPACE = Space("points", (4, 2, 2), (0.0,) * 4, (1.0,) * 4)
IMAGES = 20
LAMBDAS = {"r01": 0.8, "r02": 0.5}
POLICY = {
    "rule": "quantile",
    "quantile": 1.0,
    "spacing": 1.0,
    "tau": 1e-9,
    "novelty": 0.1,
    "share": 0.7,
    "restore": 0.5,
}


@pytest.fixture
def params() -> Params:
    numbers = load(Path(__file__).parents[2] / "params.yaml")
    rounds = {
        name: Round.model_validate({"after": "unused", "lambda": lambda_})
        for name, lambda_ in LAMBDAS.items()
    }
    return numbers.model_copy(
        update={
            "correct": Correct(
                operator="slerp",
                window=None,
                reach=0,
                references="bank",
                neighbours=3,
                temperature=1.0,
                dimensions=2,
            ),
            "admit": Admit.model_validate(POLICY),
            "rounds": rounds,
        }
    )


def latents(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 4, 2, 2)).astype(np.float32)


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    ids = [f"train-{i:05}" for i in range(IMAGES)]
    columns = {
        "id": ids,
        "round": ["r00"] * IMAGES,
        "kind": ["real"] * IMAGES,
        "source": [f"{id_}.png" for id_ in ids],
        "flip": [False] * IMAGES,
    }
    rows = banks.bank_rows(columns)
    banks.write(tmp_path / "r00", "r00", latents(0, IMAGES), rows, SPACE)
    return tmp_path / "r00"


def densify(params: Params, run: str, previous: Path, seed: int) -> Path:
    """Run correct, admit and merge on random candidates; return the new bank."""
    folder = previous.parent / f"{run}-work"
    folder.mkdir()
    rows = pa.table(
        {
            "id": [f"{run}-{i:05}" for i in range(60)],
            "seed": pa.array(range(60), pa.int64()),
        }
    )
    banks.write_latents(folder / "candidates", latents(seed, 60), rows, SPACE)
    corrected, anchors = Out(folder / "corrected"), Out(folder / "anchors")
    correct(params, run, folder / "candidates", previous, corrected, anchors)
    admitted = Out(folder / "admitted")
    outs = Out(folder / "decision"), Out(folder / "metrics")
    admit(params, run, corrected, anchors, previous, admitted, *outs)
    merge(params, run, previous, admitted, Out(previous.parent / run))
    return previous.parent / run


def test_two_rounds_leave_a_complete_pedigree(bank: Path, params: Params) -> None:
    second = densify(params, "r02", densify(params, "r01", bank, 1), 2)
    rows = {row["id"]: row for row in banks.read(second).rows.to_pylist()}
    refined = [row for row in rows.values() if row["kind"] == "refined"]
    assert {row["round"] for row in refined} == {"r01", "r02"}
    order = ["r00", "r01", "r02"]
    for row in refined:
        assert sum(row["weights"]) == pytest.approx(1)
        assert len(row["weights"]) == len(row["parents"]) == 3
        assert row["lambda"] == LAMBDAS[row["round"]]
        assert row["displacement"] > 0
        assert row["novelty"] > 0
        assert row["id"] == f"{row['round']}-{row['seed']:05}"
        assert row["source"] is None
        for parent in row["parents"]:
            assert order.index(rows[parent]["round"]) < order.index(row["round"])
    # Influence of the real images on each row: shares that sum to 1, whatever the generation.
    for row in refined:
        shares = {row["id"]: 1.0}
        while any(rows[id_]["kind"] == "refined" for id_ in shares):
            parted: dict[str, float] = {}
            for id_, share in shares.items():
                of = rows[id_]
                real = of["kind"] == "real"
                pairs = [(id_, 1.0)] if real else zip(of["parents"], of["weights"], strict=True)
                for parent, weight in pairs:
                    parted[parent] = parted.get(parent, 0) + share * weight
            shares = parted
        assert all(rows[id_]["source"] for id_ in shares)
        assert sum(shares.values()) == pytest.approx(1)
    parents = {parent for row in refined if row["round"] == "r02" for parent in row["parents"]}
    assert any(rows[parent]["kind"] == "refined" for parent in parents), "only one generation"


def test_earlier_parts_keep_their_bytes_and_the_new_one_holds_the_admitted(
    bank: Path, params: Params
) -> None:
    first = densify(params, "r01", bank, 1)
    second = densify(params, "r02", first, 2)
    for before, after, parts in [(bank, first, ["r00"]), (first, second, ["r00", "r01"])]:
        for part in parts:
            assert files(before / part) == files(after / part)
    work = second.parent / "r02-work"
    admitted = banks.read_latents(work / "admitted")
    decided = tables.read(work / "decision")
    admitted_M = decided["admitted"].to_numpy().astype(bool)
    assert 0 < admitted_M.sum() < len(admitted_M)
    merged, before = banks.read(second), banks.read(first)
    expected = np.concatenate([before.latents, admitted.latents])
    np.testing.assert_array_equal(merged.latents, expected)
    new_ids = [id_ for id_, yes in zip(decided["id"].to_pylist(), admitted_M, strict=True) if yes]
    assert merged.rows["id"].to_pylist() == before.rows["id"].to_pylist() + new_ids


def test_a_round_that_admits_nothing_leaves_a_valid_bank(bank: Path, params: Params) -> None:
    nothing = Admit.model_validate({**POLICY, "rule": "published"})
    first = densify(params.model_copy(update={"admit": nothing}), "r01", bank, 1)
    same = banks.read(first)
    np.testing.assert_array_equal(same.latents, banks.read(bank).latents)
    assert same.rows.num_rows == IMAGES
    second = densify(params, "r02", first, 2)
    assert banks.read(second).rows.num_rows > IMAGES
    assert files(first / "r01") == files(second / "r01")


def test_mistakes_are_one_line(bank: Path, params: Params, tmp_path: Path) -> None:
    first = densify(params, "r01", bank, 1)
    work = tmp_path / "r01-work"

    def failing(previous: Path, admitted: Path) -> str:
        with pytest.raises(ValueError, match=r"\S") as error:
            merge(params, "r01", previous, admitted, Out(tmp_path / "out"))
        assert "\n" not in str(error.value)
        assert not (tmp_path / "out").exists()
        return str(error.value)

    other = Space("other", (4, 2, 2), (0.0,) * 4, (1.0,) * 4)
    rows = banks.read_latents(work / "admitted").rows
    banks.write_latents(tmp_path / "alien", latents(3, rows.num_rows), rows, other)
    assert "another space" in failing(bank, tmp_path / "alien")
    assert "already has a row r01-" in failing(first, work / "admitted")

    orphaned = tmp_path / "orphaned"
    banks.write(
        orphaned,
        "r00",
        banks.read(bank).latents[:2],
        banks.read(bank).rows.slice(0, 2),
        SPACE,
    )
    assert "is not in" in failing(orphaned, work / "admitted")
