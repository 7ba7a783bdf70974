"""Admit corrected candidates to the bank, or say why not: one row and one reason for each."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from lirf import admission, files, store
from lirf.params import Params
from lirf.space import flat
from stages import command
from stages.command import Out


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
    known, new = store.read_bank(bank), store.read_part(corrected)
    known.space.require(store.read_space(corrected, new.attributes), str(corrected))
    attributes = new.attributes
    scales = admission.Scales(
        attributes["lambda"],
        _numbers(anchors, store.read_table(anchors), "displacement"),
        attributes["spacing"],
    )
    displacement_M, novelty_M = (
        _numbers(corrected, new.rows, name) for name in ("displacement", "novelty")
    )
    done = admission.admit(
        params.admit,
        flat(new.array),
        displacement_M,
        novelty_M,
        flat(known.latents),
        known.real,
        scales,
    )
    decided = done.decision
    columns = {
        "id": new.rows["id"],
        "admitted": decided.admitted,
        "reason": decided.reasons,
        "displacement": displacement_M,
        "threshold": np.full(len(novelty_M), decided.threshold),
        "novelty": novelty_M,
        "floor": np.full(len(novelty_M), decided.floor),
    }
    store.write_table(decision, pa.table(columns))
    rows = new.rows.filter(pa.array(decided.admitted))
    rows = rows.set_column(
        rows.schema.get_field_index("novelty"), "novelty", pa.array(done.novelty)
    )
    shape = new.array.shape[1:]
    store.write_latents(admitted, done.latents.reshape(-1, *shape), rows, known.space)
    summary = {
        "candidates": new.rows.num_rows,
        "admitted": decided.count(admission.ADMITTED),
        "bank_after": len(known.latents) + decided.count(admission.ADMITTED),
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
