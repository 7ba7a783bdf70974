"""Candidates are a multiple of the real rows, and no two rounds share a seed."""

from pathlib import Path

import pytest

from lirf import params
from lirf.densify import naming
from lirf.store import banks
from lirf.store.banks import Register
from lirf.store.space import Space

SAMPLE = params.load(Path(__file__).parents[3] / "params.yaml").sample
SPACE = Space("points", (1, 1, 1), (0.0,), (1.0,))


def bank(real: int, refined: int) -> Register:
    kinds = ["real"] * real + ["refined"] * refined
    ids = [str(place) for place in range(real + refined)]
    return Register(banks.bank_rows({"id": ids, "kind": kinds}), SPACE)


@pytest.mark.parametrize(("ratio", "count"), [(0.1, 1), (1.0, 5), (1.5, 8)])
def test_there_are_ratio_times_the_real_rows_rounded_up(ratio: float, count: int):
    config = SAMPLE.model_copy(update={"ratio": ratio})
    rows = naming.candidates(config, "r01", bank(5, 9))
    assert rows["id"].to_pylist() == [f"r01-{place:05d}" for place in range(count)]


def test_a_larger_bank_keeps_the_seeds_and_another_round_has_others():
    few, many, other = (
        naming.candidates(SAMPLE, run, bank(real, 0))["seed"].to_pylist()
        for run, real in (("r01", 2), ("r01", 3), ("r02", 3))
    )
    assert many[: len(few)] == few
    assert not {*many} & {*other}
