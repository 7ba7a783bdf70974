"""Admit corrected candidates to the bank, or say why not: one row and one reason for each."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from lirf.densify import admission
from lirf.params import Params
from lirf.store import banks, files, parts, tables
from lirf.store.rows import Room, half
from lirf.store.space import flat
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
    known, (drawn, attributes) = banks.read_register(bank), parts.read_rows(corrected)
    known.space.require(banks.read_space(corrected, attributes), str(corrected))
    scales = admission.Scales(
        attributes["lambda"],
        _numbers(anchors, tables.read(anchors), "displacement"),
        attributes["spacing"],
    )
    displacement_M, novelty_M = (
        _numbers(corrected, drawn, name) for name in ("displacement", "novelty")
    )
    # Half is for candidates, bank and result, which lie beside the result where that is too little.
    room = Room(half(params.memory), admitted.parent)
    done = admission.admit(
        params.admit,
        flat(banks.read_arrays([corrected], room)),
        displacement_M,
        novelty_M,
        flat(banks.read_arrays(banks.parts(bank), room)),
        known.real,
        scales,
        memory=half(params.memory),
        room=room,
    )
    decided = done.decision
    columns = {
        "id": drawn["id"],
        "admitted": decided.admitted,
        "reason": decided.reasons,
        "displacement": displacement_M,
        "threshold": np.full(len(novelty_M), decided.threshold),
        "novelty": novelty_M,
        "floor": np.full(len(novelty_M), decided.floor),
    }
    tables.write(decision, pa.table(columns))
    rows = drawn.filter(pa.array(decided.admitted))
    rows = rows.set_column(
        rows.schema.get_field_index("novelty"), "novelty", pa.array(done.novelty)
    )
    banks.write_latents(admitted, done.latents.reshape(-1, *known.space.shape), rows, known.space)
    summary = {
        "candidates": drawn.num_rows,
        "admitted": decided.count(admission.ADMITTED),
        "bank_after": known.rows.num_rows + decided.count(admission.ADMITTED),
        "too_far": decided.count(admission.TOO_FAR),
        "too_close": decided.count(admission.TOO_CLOSE),
        "crowded": decided.count(admission.CROWDED),
        "threshold": decided.threshold,
        "floor": decided.floor,
        "median_displacement": float(np.median(displacement_M)),
        "median_novelty": float(np.median(novelty_M)),
        "lambda": scales.lambda_,
        "rule": params.admit.rule,
    }
    files.write_json(metrics, summary)
    warning = admission.warning(decided, displacement_M, novelty_M, params.admit, scales)
    if warning:
        print(f"warning: {run}: {warning}", file=sys.stderr)  # noqa: T201


def _numbers(path: Path, rows: pa.Table, name: str) -> np.ndarray:
    """Return a column as float64.

    Raises:
        ValueError: a number is not finite; names its row.
    """
    values = rows[name].to_numpy().astype(np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        culprit = rows["id"][int(np.argmin(finite))].as_py()
        raise ValueError(f"{path}: the {name} of {culprit} is not finite; {files.REMEDY}")
    return values


if __name__ == "__main__":
    command.run(admit)
