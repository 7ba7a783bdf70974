"""Merge the admitted candidates into the bank, as a new part beside the untouched earlier ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from lirf.params import Params
from lirf.store import banks
from stages.support import command
from stages.support.command import Out

REMEDY = "rerun `dvc repro`"


def merge(
    params: Params,  # noqa: ARG001 - every stage gets them
    run: str,
    previous: Path,
    admitted: Path,
    bank: Out,
) -> None:
    """Write the bank of round `run`: the parts of `previous`, and what the round admitted.

    Each new row names the rows it was corrected towards, so that every latent leads back to real
    images. A round that admitted nothing adds an empty part.

    Raises:
        ValueError: an input is damaged or of another space, or a row's parents are not in the bank.
    """
    old, new = banks.read_register(previous), banks.read_latents(admitted)
    old.space.require(new.space, str(admitted))
    rows = _bank_rows(run, new.rows)
    _check_lineage(rows, old.rows, previous)
    banks.write(bank, run, new.latents, rows, new.space, previous)


def _bank_rows(run: str, rows: pa.Table) -> pa.Table:
    """Return rows of admitted latents as rows of the bank: refined, of no image."""
    columns = {name: rows[name] for name in rows.column_names}
    columns |= {"round": np.full(rows.num_rows, run), "kind": np.full(rows.num_rows, "refined")}
    return banks.bank_rows(columns)


def _check_lineage(rows: pa.Table, older: pa.Table, previous: Path) -> None:
    """Check that ids are new and parents are known."""
    known = set(older["id"].to_pylist())
    for id_, parents in zip(rows["id"].to_pylist(), rows["parents"].to_pylist(), strict=True):
        if id_ in known:
            raise ValueError(f"{previous} already has a row {id_}; {REMEDY}")
        for parent in parents:
            if parent not in known:
                raise ValueError(f"{id_}: its parent {parent} is not in {previous}; {REMEDY}")


if __name__ == "__main__":
    command.run(merge)
