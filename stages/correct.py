"""Correct the candidates: pull each towards its neighbours in the bank, and measure the pull."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from lirf import pull, store
from lirf.params import Correct, Params
from stages import command
from stages.command import Out


def correct(
    params: Params, run: str, candidates: Path, bank: Path, corrected: Out, anchors: Out
) -> None:
    """Apply the correction operator of round `run` to its candidates.

    `corrected` gets C(z) and, for each, its parents with their weights, lambda, the displacement
    |z - C(z)| and the novelty: the distance of C(z) to the nearest real latent (mirrored ones are
    real). `anchors` gets the displacement of every real latent under the same operator, with its
    own image, mirrored or not, left out of its neighbours.

    Raises:
        ValueError: an input is damaged or of another space, a candidate is not finite, or the
            bank has too few rows for `correct.neighbours`.
    """
    if run not in params.rounds:
        raise ValueError(f"--run {run}: not a round of params.yaml ({', '.join(params.rounds)})")
    lambda_ = params.rounds[run].lambda_
    old, new = store.read_bank(bank), store.read_latents(candidates)
    old.space.require(new.space, str(candidates))
    _check_finite(run, new.latents, new.rows)
    group_N = old.groups
    real_N = old.real
    _check_count(params.correct, bank, group_N[pull.references(params.correct, real_N)])
    done = pull.correct(new.latents, old.latents, real_N, group_N, params.correct, lambda_)

    ids = np.array(old.rows["id"].to_pylist())
    columns = {
        "id": new.rows["id"],
        "seed": new.rows["seed"],
        "parents": ids[done.parents].tolist(),
        "weights": done.weights.tolist(),
        "lambda": np.full(new.rows.num_rows, lambda_),
        "displacement": done.displacement,
        "novelty": done.novelty,
    }
    schema = pa.schema([store.BANK_SCHEMA.field(name) for name in columns])
    attributes = {"lambda": lambda_, "spacing": done.spacing}
    rows = pa.table(columns, schema=schema)
    store.write_latents(corrected, done.latents, rows, old.space, **attributes)
    moved = {"id": ids[real_N], "displacement": done.anchors}
    store.write_table(anchors, pa.table(moved))


def _check_finite(run: str, z_MCHW: np.ndarray, rows: pa.Table) -> None:
    """Name the first candidate with a NaN or infinity."""
    if not len(z_MCHW):
        raise ValueError(f"round {run} has no candidates; raise sample.ratio")
    finite_M = np.isfinite(z_MCHW).all(axis=(1, 2, 3))
    if not finite_M.all():
        culprit = rows["id"][int(np.argmin(finite_M))].as_py()
        raise ValueError(
            f"round {run}: candidate {culprit} is not finite ({int((~finite_M).sum())} of"
            f" {len(z_MCHW)} are not); lower train.learning_rate or set train.clip_norm"
        )


def _check_count(config: Correct, bank: Path, group_P: np.ndarray) -> None:
    """Check that every real row has K neighbours besides its own image."""
    others = len(group_P) - int(np.bincount(group_P).max())
    if config.neighbours > others:
        rows = "real rows" if config.references == "real" else "rows"
        raise ValueError(
            f"correct.neighbours = {config.neighbours}: {bank} has only {others} {rows} besides an"
            " image's own; lower it or use more images"
        )


if __name__ == "__main__":
    command.run(correct)
