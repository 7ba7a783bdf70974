"""The merge of a round: what it admitted becomes rows of the bank, which lead to real images."""

from __future__ import annotations

import numpy as np

from lirf.store import banks
from lirf.store.banks import Bank, Register

REMEDY = "rerun `dvc repro`"


def part(run: str, admitted: Bank, bank: Register) -> Bank:
    """Return what round `run` adds to `bank`: refined rows, of no image, with their parents.

    Raises:
        ValueError: an id is not new, or a parent is not in the bank.
    """
    known, rows = set(bank.rows["id"].to_pylist()), admitted.rows
    for id_, parents in zip(rows["id"].to_pylist(), rows["parents"].to_pylist(), strict=True):
        if id_ in known:
            raise ValueError(f"the bank already has a row {id_}; {REMEDY}")
        for parent in parents:
            if parent not in known:
                raise ValueError(f"{id_}: its parent {parent} is not in the bank; {REMEDY}")
    columns = {name: rows[name] for name in rows.column_names}
    columns |= {"round": np.full(rows.num_rows, run), "kind": np.full(rows.num_rows, "refined")}
    return Bank(banks.bank_rows(columns), admitted.space, admitted.latents)


def merge(run: str, admitted: Bank, bank: Bank) -> Bank:
    """Return the bank of round `run`: the rows of `bank`, and behind them what `part` makes.

    Raises:
        ValueError: as `part`.
    """
    return bank.followed_by(part(run, admitted, bank))
