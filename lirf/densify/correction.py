"""Correction: a round's candidates corrected, and measured against the bank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lirf.densify import tangent, windows
from lirf.neighbours import search
from lirf.neighbours.search import Metric
from lirf.params import Correct
from lirf.store import banks, tables
from lirf.store.banks import Bank
from lirf.store.rows import MEMORY, Room, blocks
from lirf.store.space import flat
from lirf.store.tables import Table

BLOCK_BYTES = 2**21
"""Float64 neighbours held at a time: what a core's cache holds."""


@dataclass(frozen=True)
class Correction:
    """M corrected candidates, and the same measures of the bank's real rows."""

    latents: np.ndarray  # [M, C, H, W] float32, C(z)
    parents: np.ndarray  # [M, K] int64, the bank rows it was corrected towards
    weights: np.ndarray  # [M, K] float64, of the parents, summing to 1
    displacement: np.ndarray  # [M] float64, |z - C(z)|
    novelty: np.ndarray  # [M] float64, distance of C(z) to the nearest real row
    anchors: np.ndarray  # [real rows] float64, displacement of each real row, left out
    spacing: float  # median distance of a real row to the nearest one of another group


def correct(
    drawn: Bank,
    bank: Bank,
    config: Correct,
    lambda_: float,
    memory: int = MEMORY,
    room: Room | None = None,
) -> tuple[Bank, Table]:
    """Apply C to a round's candidates, `drawn` with their `id` and `seed`; `measure` says how.

    Returns:
        C(z), with the id, the seed, the parents and weights, lambda, the displacement and the
        novelty of each, and lambda and the bank's spacing for all; and for every real row of the
        bank its `id` and `displacement`.

    Raises:
        ValueError: as `measure`.
    """
    real_N, ids_N = bank.real, np.array(bank.rows["id"].to_pylist())
    done = measure(drawn.latents, bank.latents, real_N, bank.groups, config, lambda_, memory, room)
    columns = {
        "id": drawn.rows["id"],
        "seed": drawn.rows["seed"],
        "parents": ids_N[done.parents].tolist(),
        "weights": done.weights.tolist(),
        "lambda": np.full(drawn.rows.num_rows, lambda_),
        "displacement": done.displacement,
        "novelty": done.novelty,
    }
    rows = banks.typed(columns)
    measured = {"lambda": lambda_, "spacing": done.spacing}
    corrected = Bank(rows, bank.space, done.latents, attributes=measured)
    return corrected, tables.table({"id": ids_N[real_N], "displacement": done.anchors})


def measure(
    z_MCHW: np.ndarray,
    bank_NCHW: np.ndarray,
    real_N: np.ndarray,
    group_N: np.ndarray,
    config: Correct,
    lambda_: float,
    memory: int = MEMORY,
    room: Room | None = None,
) -> Correction:
    """Apply C to candidates, and to every real row as if it were a candidate itself.

    Args:
        z_MCHW: candidates, scaled, float32.
        bank_NCHW: the bank, scaled, float32.
        real_N: bool, which bank rows are real; mirrored images are.
        group_N: int, the same for an image and its mirrored twin. No row of a real row's own group
            is its neighbour.
        config: the numbers of C.
        lambda_: fraction of the way towards the reference.
        memory: bytes that it may take beside candidates, bank and result.
        room: for the corrected latents; None: in memory.

    Raises:
        ValueError: there are no candidates, or too few rows for `correct.neighbours`.
    """
    if not len(z_MCHW):
        raise ValueError("there are no candidates; raise sample.ratio")
    bank_ND = flat(bank_NCHW)
    room = room or Room()
    most = min(z_MCHW.shape[2:])
    if config.window is not None and config.window > most:
        raise ValueError(
            f"correct.window = {config.window}: the latents are only {most} wide; lower it, or set"
            " null"
        )
    real_RD, group_R = room.choose(bank_ND, np.flatnonzero(real_N)), group_N[real_N]
    pool_P = np.flatnonzero(real_N) if config.references == "real" else np.arange(len(real_N))
    pool_PD, group_P = room.choose(bank_ND, pool_P), group_N[pool_P]
    _check_count(config, group_P)
    pool = _Pool(pool_PD.reshape(-1, *z_MCHW.shape[1:]), group_P)
    real = _Pool(real_RD.reshape(-1, *z_MCHW.shape[1:]), group_R)
    latents_MCHW = room.empty(z_MCHW.shape)
    drawn = _Pool(z_MCHW, np.full(len(z_MCHW), NOBODY))
    move = _move if config.window is None else _move_windows
    moved = move(drawn, pool, config, lambda_, memory, latents_MCHW)
    novelty_M1 = search.nearest(flat(latents_MCHW), real_RD, 1, "euclidean", memory=memory)[1]
    anchors = move(real, pool, config, lambda_, memory)
    spacing = anchors.nearest if len(pool_PD) == len(real_RD) else None
    return Correction(
        latents=latents_MCHW,
        parents=pool_P[moved.parents],
        weights=moved.weights,
        displacement=moved.displacement,
        novelty=novelty_M1[:, 0].astype(np.float64),
        anchors=anchors.displacement,
        spacing=search.spacing(real_RD, group_R, memory) if spacing is None else spacing,
    )


NOBODY = -1
"""The group of candidates: they have no image of their own."""


@dataclass(frozen=True)
class _Pool:
    """Latents [N, C, H, W] and their groups [N]."""

    latents: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class _Moved:
    """How C moved M latents, none towards one of its own group."""

    displacement: np.ndarray  # [M] float64
    parents: np.ndarray  # [M, K] int64, rows of the pool
    weights: np.ndarray  # [M, K] float64, summing to 1
    nearest: float | None  # median distance to the nearest row, where that was looked for


def _move(
    z: _Pool, pool: _Pool, config: Correct, lambda_: float, memory: int,
    latents_MCHW: np.ndarray | None = None,
) -> _Moved:  # fmt: skip
    """Apply C to whole latents; C(z) goes to `latents_MCHW`, where it is asked for."""
    z_MD, pool_PD = flat(z.latents), flat(pool.latents)
    metric = OPERATORS[config.operator].metric
    found_MK, reach_MK = search.nearest_of_others(
        z_MD, z.groups, pool_PD, pool.groups, config.neighbours, metric, memory
    )
    latents_MD = None if latents_MCHW is None else flat(latents_MCHW)
    displacement_M, weights_MK = apply(z_MD, pool_PD, found_MK, config, lambda_, latents_MD)
    nearest = float(np.median(reach_MK[:, 0])) if metric == "euclidean" else None
    return _Moved(displacement_M, found_MK, weights_MK, nearest)


def _move_windows(
    z: _Pool, pool: _Pool, config: Correct, lambda_: float, memory: int,
    latents_MCHW: np.ndarray | None = None,
) -> _Moved:  # fmt: skip
    """Apply C to every window towards its likes, and take the mean where windows overlap.

    The parents are the rows that most windows were corrected towards, weighted by how often.
    """
    assert config.window is not None, "there are windows"
    row_M1 = np.arange(len(z.latents))[:, None]
    total_MCHW = np.zeros(z.latents.shape)
    height, width = z.latents.shape[2:]
    windows_HW = np.zeros((height, width))
    times_MP = np.zeros((len(z.latents), len(pool.latents)))
    for window in windows.cover(height, width, config.window, config.reach):
        own_MCwh, likes_SPCwh = window.of(z.latents), window.likes(pool.latents)
        shifts = len(likes_SPCwh)
        likes = _Pool(likes_SPCwh.reshape(-1, *own_MCwh.shape[1:]), np.tile(pool.groups, shifts))
        corrected_MCwh = np.empty(own_MCwh.shape, np.float32)
        own = _Pool(np.ascontiguousarray(own_MCwh), z.groups)
        moved = _move(own, likes, config, lambda_, memory, corrected_MCwh)
        window.of(total_MCHW)[...] += corrected_MCwh
        window.of(windows_HW[None, None])[...] += 1
        np.add.at(times_MP, (row_M1, moved.parents % len(pool.latents)), 1)
    total_MCHW /= windows_HW
    displacement_M = np.linalg.norm(flat(total_MCHW - z.latents), axis=1)
    if latents_MCHW is not None:
        latents_MCHW[...] = total_MCHW
    parents_MK = np.argsort(-times_MP, axis=1, kind="stable")[:, : config.neighbours]
    weights_MK = np.take_along_axis(times_MP, parents_MK, axis=1)
    return _Moved(
        displacement_M, parents_MK, weights_MK / weights_MK.sum(axis=1, keepdims=True), None
    )


def _check_count(config: Correct, group_P: np.ndarray) -> None:
    """Check that every row has K neighbours besides those of its own image."""
    others = len(group_P) - int(np.unique(group_P, return_counts=True)[1].max(initial=0))
    if config.neighbours > others:
        rows = "real rows" if config.references == "real" else "rows"
        raise ValueError(
            f"correct.neighbours = {config.neighbours}: the bank has only {others} {rows} besides"
            " an image's own; lower it or use more images"
        )


def apply(
    z_MD: np.ndarray,
    pool_PD: np.ndarray,
    indices_MK: np.ndarray,
    config: Correct,
    lambda_: float,
    latents_MD: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Apply C on the CPU, and return displacements [M] and weights [M, K].

    A pass over K rows a candidate, less than its transfer would cost. C(z) goes to `latents_MD`,
    where it is asked for.
    """
    operator = OPERATORS[config.operator].apply
    (count, k), dimension = indices_MK.shape, z_MD.shape[1]
    displacement_M, weights_MK = np.empty(count), np.empty((count, k))
    for rows in blocks(count, 8 * k * dimension, BLOCK_BYTES):
        beside_BKD = pool_PD[indices_MK[rows].reshape(-1)].reshape(-1, k, dimension)
        done = operator(z_MD[rows], beside_BKD, config, lambda_)
        latents_BD, displacement_M[rows], weights_MK[rows] = done
        if latents_MD is not None:
            latents_MD[rows] = latents_BD
    return displacement_M, weights_MK


Applied = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Corrected latents [B, D] float32, displacements [B] and weights [B, K] float64."""


def _tangent(z_BD: np.ndarray, beside_BKD: np.ndarray, config: Correct, lambda_: float) -> Applied:
    done = tangent.correct(z_BD, beside_BKD, config.dimensions, lambda_)
    return done.latents, done.displacement, done.weights


def _slerp(z_BD: np.ndarray, beside_BKD: np.ndarray, config: Correct, lambda_: float) -> Applied:
    import torch  # noqa: PLC0415 - half a GiB and three seconds, which the other does without

    from lirf.densify import slerp  # noqa: PLC0415 - as torch

    z, beside = torch.from_numpy(z_BD), torch.from_numpy(beside_BKD)
    done = slerp.correct(z, beside, config.temperature, lambda_)
    return done.latents.numpy(), done.displacement.numpy(), done.weights.numpy()


@dataclass(frozen=True)
class Operator:
    """How a candidate moves, given its neighbours, and by which measure those are near."""

    metric: Metric  # points of a plane, or directions on a sphere
    apply: Callable[[np.ndarray, np.ndarray, Correct, float], Applied]


OPERATORS = {"tangent": Operator("euclidean", _tangent), "slerp": Operator("cosine", _slerp)}
"""By the name that `correct.operator` gives them."""
