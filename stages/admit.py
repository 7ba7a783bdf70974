"""Admit corrected candidates to the bank, or say why not: one row and one reason for each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lirf.densify import admission
from lirf.densify.admission import Admission
from lirf.params import Params
from lirf.store import banks, files, tables
from lirf.store.rows import Room, half
from stages.support import command
from stages.support.command import Out


def admit(
    params: Params,
    run: str,
    corrected: Path,
    anchors: Path,
    bank: Path,
    admitted: Out,
    decision: Out,
    metrics: Out,
) -> None:
    """Decide for every candidate of round `run` whether it joins `bank`, and write those that do.

    A round that admits nothing is no error, but it says so on standard error, with the remedy.

    Raises:
        ValueError: an input is damaged or of another space.
    """
    # Half is for candidates, bank and result, which lie beside the result where that is too little.
    room = Room(half(params.memory), admitted.parent)
    moved = tables.read(anchors)
    known = banks.read(bank, room)
    drawn = banks.read_latents(corrected, room, known.space)
    _require_finite(anchors, moved, "displacement")
    _require_finite(corrected, drawn.rows, "displacement", "novelty")
    done = admission.admit(drawn, moved, known, params.admit, half(params.memory), room)
    joining = done.joining
    tables.write(decision, done.table)
    banks.write_latents(admitted, joining.latents, joining.rows, joining.space)
    measured = {"lambda": drawn.attributes["lambda"], "rule": params.admit.rule}
    files.write_json(metrics, {**_summary(done, known), **measured})
    if done.warning:
        print(f"warning: {run}: {done.warning}", file=sys.stderr)  # noqa: T201


def _require_finite(path: Path, rows: pa.Table, *names: str) -> None:
    """Raise ValueError where a number in one of the columns is not finite, naming its row."""
    for name in names:
        finite = np.isfinite(rows[name].to_numpy().astype(np.float64))
        if not finite.all():
            culprit = rows["id"][int(np.argmin(finite))].as_py()
            raise ValueError(f"{path}: the {name} of {culprit} is not finite; {files.REMEDY}")


def _summary(done: Admission, bank: banks.Bank) -> dict[str, Any]:
    """Return the numbers of an admission."""
    decided, table = done.decision, done.table
    return {
        "candidates": table.num_rows,
        "admitted": decided.count(admission.ADMITTED),
        "bank_after": bank.rows.num_rows + decided.count(admission.ADMITTED),
        "too_far": decided.count(admission.TOO_FAR),
        "too_close": decided.count(admission.TOO_CLOSE),
        "crowded": decided.count(admission.CROWDED),
        "threshold": decided.threshold,
        "floor": decided.floor,
        "median_displacement": float(np.median(table["displacement"].to_numpy())),
        "median_novelty": float(np.median(table["novelty"].to_numpy())),
    }


if __name__ == "__main__":
    command.run(admit)
