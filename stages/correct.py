"""Correct the candidates: pull each towards its neighbours in the bank, and measure the pull."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from lirf.densify import correction
from lirf.params import Correct, Params
from lirf.store import banks, parts, tables
from lirf.store.rows import Room, blocks, half
from stages.support import command
from stages.support.command import Out


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
    old, (drawn, attributes) = banks.read_register(bank), parts.read_rows(candidates)
    old.space.require(banks.read_space(candidates, attributes), str(candidates))
    group_N, real_N = old.groups, old.real
    # Half is for candidates, bank and result, which lie beside the result where that is too little.
    room = Room(half(params.memory), corrected.parent)
    z_MCHW = banks.read_arrays([candidates], room)
    _check_finite(run, z_MCHW, drawn)
    _check_count(params.correct, bank, group_N[correction.references(params.correct, real_N)])
    bank_NCHW = banks.read_arrays(banks.parts(bank), room)
    done = correction.correct(
        z_MCHW,
        bank_NCHW,
        real_N,
        group_N,
        params.correct,
        lambda_,
        memory=half(params.memory),
        room=room,
    )

    ids = np.array(old.rows["id"].to_pylist())
    columns = {
        "id": drawn["id"],
        "seed": drawn["seed"],
        "parents": ids[done.parents].tolist(),
        "weights": done.weights.tolist(),
        "lambda": np.full(drawn.num_rows, lambda_),
        "displacement": done.displacement,
        "novelty": done.novelty,
    }
    schema = pa.schema([banks.BANK_SCHEMA.field(name) for name in columns])
    rows = pa.table(columns, schema=schema)
    measured = {"lambda": lambda_, "spacing": done.spacing}
    banks.write_latents(corrected, done.latents, rows, old.space, **measured)
    moved = {"id": ids[real_N], "displacement": done.anchors}
    tables.write(anchors, pa.table(moved))


def _check_finite(run: str, z_MCHW: np.ndarray, drawn: pa.Table) -> None:
    """Name the first candidate with a NaN or infinity."""
    if not len(z_MCHW):
        raise ValueError(f"round {run} has no candidates; raise sample.ratio")
    finite_M = np.concatenate(
        [
            np.isfinite(z_MCHW[some]).all(axis=(1, 2, 3))
            for some in blocks(len(z_MCHW), 1, parts.SHARD_ROWS)
        ]
    )
    if not finite_M.all():
        culprit = drawn["id"][int(np.argmin(finite_M))].as_py()
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
