"""Admit corrected candidates to the bank, or say why not: one row and one reason for each."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from lirf import admission, files, store
from lirf.params import Params
from stages import command
from stages.command import Out


def admit(
    params: Params, run: str, corrected: Path, anchors: Path, decision: Out, metrics: Out
) -> None:
    """Decide for every candidate of round `run` whether it joins the bank.

    A round that admits nothing is no error, but it says so on standard error, with the remedy.
    """
    rows, attributes = store.read_rows(corrected)
    scales = admission.Scales(
        attributes["lambda"],
        _numbers(store.read_table(anchors), "displacement"),
        attributes["spacing"],
    )
    displacement_M, novelty_M = _numbers(rows, "displacement"), _numbers(rows, "novelty")
    decided = admission.admit(params.admit, displacement_M, novelty_M, scales)
    columns = {
        "id": rows["id"],
        "admitted": decided.admitted,
        "reason": decided.reasons,
        "displacement": displacement_M,
        "threshold": np.full(len(novelty_M), decided.threshold),
        "novelty": novelty_M,
        "floor": np.full(len(novelty_M), decided.floor),
    }
    store.write_table(decision, pa.table(columns))
    summary = {
        "candidates": rows.num_rows,
        "admitted": decided.count(admission.ADMITTED),
        "bank_after": attributes["bank_rows"] + decided.count(admission.ADMITTED),
        "too_far": decided.count(admission.TOO_FAR),
        "too_close": decided.count(admission.TOO_CLOSE),
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


def _numbers(rows: pa.Table, name: str) -> np.ndarray:
    """Return a column as float64."""
    return rows[name].to_numpy().astype(np.float64)


if __name__ == "__main__":
    command.run(admit)
