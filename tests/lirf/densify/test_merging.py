"""What a merge makes of admitted rows, and what it refuses."""

import numpy as np
import pytest

from lirf.densify import merging
from lirf.store import banks
from lirf.store.banks import Bank
from lirf.store.space import Space

SPACE = Space("points", (1, 1, 1), (0.0,), (1.0,))


def latents(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


def bank() -> Bank:
    columns = {"id": ["a", "b"], "kind": ["real"] * 2, "source": ["a.png", "b.png"]}
    return Bank(banks.bank_rows(columns), SPACE, latents(1, 2))


def admitted(id_: str = "r01-00003", parents: tuple[str, str] = ("a", "b")) -> Bank:
    columns = {"id": [id_], "seed": [7], "parents": [[*parents]], "weights": [[0.4, 0.6]]}
    return Bank(banks.typed(columns), SPACE, latents(3))


def test_a_row_keeps_what_it_has_and_is_refined_of_the_round_and_of_no_image():
    grown = merging.merge("r01", admitted(), bank())
    assert grown.latents.ravel().tolist() == [1, 2, 3]
    assert grown.rows.slice(0, 2) == bank().rows
    row = {name: value for name, value in grown.rows.to_pylist()[2].items() if value is not None}
    assert row == {
        "id": "r01-00003", "seed": 7, "parents": ["a", "b"], "weights": [0.4, 0.6],
        "round": "r01", "kind": "refined",
    }  # fmt: skip
    assert grown.real.tolist() == [True, True, False]
    assert len(set(grown.groups.tolist())) == 3


@pytest.mark.parametrize(
    ("joining", "message"),
    [
        (admitted("b"), "^the bank already has a row b; rerun"),
        (admitted(parents=("a", "c")), "^r01-00003: its parent c is not in the bank; rerun"),
    ],
)
def test_a_row_without_lineage_is_refused(joining: Bank, message: str):
    with pytest.raises(ValueError, match=message):
        merging.merge("r01", joining, bank())
