"""Correct the candidates: pull each towards its neighbours in the bank, and measure the pull."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from lirf import correction, neighbours, store
from lirf.params import Params
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
    bank_ND, z_MD = _flat(old.latents), _flat(new.latents)
    _check_finite(run, z_MD, new.rows)
    group_N = store.image_groups(old.rows)
    _check_count(params.correct.neighbours, bank, group_N)
    is_real_N = np.array(old.rows["kind"].to_pylist()) == "real"
    real_ND = bank_ND[is_real_N]

    indices_MK, _ = neighbours.nearest(z_MD, bank_ND, params.correct.neighbours, "cosine")
    done = _apply(params, z_MD, bank_ND, indices_MK, lambda_)
    novelty_M1 = neighbours.nearest(_flat(done.latents.numpy()), real_ND, 1, "euclidean")[1]
    ids = np.array(old.rows["id"].to_pylist())
    columns = {
        "id": new.rows["id"],
        "seed": new.rows["seed"],
        "parents": ids[indices_MK].tolist(),
        "weights": done.weights.tolist(),
        "lambda": np.full(len(z_MD), lambda_),
        "displacement": done.displacement.numpy(),
        "novelty": novelty_M1[:, 0].astype(np.float64),
    }
    schema = pa.schema([store.BANK_SCHEMA.field(name) for name in columns])
    attributes = {
        "lambda": lambda_,
        "bank_rows": len(bank_ND),
        "spacing": neighbours.spacing(real_ND, group_N[is_real_N]),
    }
    store.write_latents(
        corrected,
        done.latents.numpy().reshape(new.latents.shape),
        pa.table(columns, schema=schema),
        old.space,
        **attributes,
    )

    others_NK, _ = neighbours.nearest_of_others(
        real_ND, group_N[is_real_N], bank_ND, group_N, params.correct.neighbours, "cosine"
    )
    left_out = _apply(params, real_ND, bank_ND, others_NK, lambda_)
    moved = {"id": ids[is_real_N], "displacement": left_out.displacement.numpy()}
    store.write_table(anchors, pa.table(moved))


def _apply(
    params: Params, z_MD: np.ndarray, bank_ND: np.ndarray, indices_MK: np.ndarray, lambda_: float
) -> correction.Corrected:
    """Apply C on the CPU: a pass over K rows a candidate, less than its transfer would cost."""
    return correction.correct(
        torch.from_numpy(z_MD),
        torch.from_numpy(bank_ND),
        torch.from_numpy(indices_MK),
        params.correct.temperature,
        lambda_,
    )


def _flat(latents_NCHW: np.ndarray) -> np.ndarray:
    """Return latents as rows, [N, D]."""
    return latents_NCHW.reshape(len(latents_NCHW), int(np.prod(latents_NCHW.shape[1:])))


def _check_finite(run: str, z_MD: np.ndarray, rows: pa.Table) -> None:
    """Name the first candidate with a NaN or infinity."""
    if not len(z_MD):
        raise ValueError(f"round {run} has no candidates; raise sample.ratio")
    finite_M = np.isfinite(z_MD).all(axis=1)
    if not finite_M.all():
        culprit = rows["id"][int(np.argmin(finite_M))].as_py()
        raise ValueError(
            f"round {run}: candidate {culprit} is not finite ({int((~finite_M).sum())} of"
            f" {len(z_MD)} are not); lower train.learning_rate or set train.clip_norm"
        )


def _check_count(k: int, bank: Path, group_N: np.ndarray) -> None:
    """Check that every real row has K neighbours besides its own image."""
    others = len(group_N) - int(np.bincount(group_N).max())
    if k > others:
        raise ValueError(
            f"correct.neighbours = {k}: {bank} has only {others} rows besides an image's own;"
            " lower it or use more images"
        )


if __name__ == "__main__":
    command.run(correct)
