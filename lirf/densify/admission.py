"""The admission policy: which corrected candidates join the bank, and why the others do not.

A candidate passes two tests. Its displacement must be small: it was near the
bank before it was corrected. And it must be new: a copy of a real latent also moves little. Both
are measured against distances of the data itself (`Scales`), because latents have no natural
unit: the published absolute threshold admits nothing from latents of unit variance.

Of those that pass, a share is kept, the ones where the bank is thinnest first; and what is kept
gets back the variance that correction took (`lirf.densify.restoration`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

import numpy as np

from lirf.densify import farthest, restoration
from lirf.neighbours import search
from lirf.params import Admit
from lirf.store import tables
from lirf.store.banks import Bank
from lirf.store.rows import MEMORY, Room
from lirf.store.space import flat
from lirf.store.tables import Table

ADMITTED = "admitted"
TOO_FAR = "too far"
TOO_CLOSE = "too close"
CROWDED = "crowded"


@dataclass(frozen=True)
class Scales:
    """The distances of one round's data that displacement and novelty are held against."""

    lambda_: float  # of the correction that was made
    anchors: np.ndarray  # [N] displacement of every real latent, left out of its own neighbours
    spacing: float  # median distance of a real latent to the nearest one of another image


@dataclass(frozen=True)
class Decision:
    """One reason a candidate, and the two limits that it was held against."""

    reasons: np.ndarray  # [M] of str: ADMITTED, TOO_FAR, TOO_CLOSE or CROWDED
    threshold: float  # most displacement
    floor: float  # least novelty

    @property
    def admitted(self) -> np.ndarray:
        """Return which candidates are admitted, [M] of bool."""
        return self.reasons == ADMITTED

    def count(self, reason: str) -> int:
        """Return how many candidates have this reason."""
        return int((self.reasons == reason).sum())


def threshold(admit: Admit, scales: Scales) -> float:
    """Return the largest displacement that is admitted, by the rule in use.

    - `quantile`: that quantile of the displacement of the real latents, each corrected towards
      its neighbours as if it were a candidate itself. Same operator, same lambda, same bank: what
      lambda does to candidates it does to the real latents, so no factor is left to choose.
    - `spacing`: a multiple of lambda times the spacing of the bank's real latents, since
      displacement grows in proportion to lambda (2 |z| sin(lambda theta / 2) at matched radius).
      Refined latents do not count: they bunch up, so every round would narrow the next until
      nothing is admitted.
    - `published`: an absolute number, whatever lambda and the latents are.
    """
    match admit.rule:
        case "quantile":
            return float(np.quantile(scales.anchors, admit.quantile))
        case "spacing":
            return admit.spacing * scales.lambda_ * scales.spacing
        case "published":
            return admit.tau


def floor(admit: Admit, scales: Scales) -> float:
    """Return the least distance from every real latent: a multiple of the real latents' spacing."""
    return admit.novelty * scales.spacing


@dataclass(frozen=True)
class Admission:
    """What a round decided of its candidates, and those that join the bank."""

    decision: Decision
    table: Table  # a row and a reason for every candidate
    joining: Bank  # restored, with the columns of corrected candidates
    warning: str | None  # why nothing was admitted, if so


def admit(
    corrected: Bank,
    anchors: Table,
    bank: Bank,
    policy: Admit,
    memory: int = MEMORY,
    room: Room | None = None,
) -> Admission:
    """Decide of what `correction.correct` made of a round's candidates; `choose` says how."""
    scales = Scales(
        corrected.attributes["lambda"],
        anchors["displacement"].to_numpy().astype(np.float64),
        corrected.attributes["spacing"],
    )
    rows = corrected.rows
    displacement_M, novelty_M = (
        rows[name].to_numpy().astype(np.float64) for name in ("displacement", "novelty")
    )
    chosen = choose(
        policy,
        flat(corrected.latents),
        displacement_M,
        novelty_M,
        flat(bank.latents),
        bank.real,
        scales,
        memory,
        room,
    )
    decision = chosen.decision
    columns = {
        "id": rows["id"],
        "admitted": decision.admitted,
        "reason": decision.reasons,
        "displacement": displacement_M,
        "threshold": np.full(len(novelty_M), decision.threshold),
        "novelty": novelty_M,
        "floor": np.full(len(novelty_M), decision.floor),
    }
    place = rows.schema.get_field_index("novelty")
    joining = rows.filter(decision.admitted).set_column(place, "novelty", [chosen.novelty])
    latents_ACHW = chosen.latents.reshape(-1, *bank.space.shape)
    said = warning(decision, displacement_M, novelty_M, policy, scales)
    return Admission(decision, tables.table(columns), Bank(joining, bank.space, latents_ACHW), said)


@dataclass(frozen=True)
class Chosen:
    """A decision, and the A latents that join the bank."""

    decision: Decision
    latents: np.ndarray  # [A, D] float32, restored
    novelty: np.ndarray  # [A] float64, distance to the nearest real latent


def choose(
    policy: Admit,
    latents_MD: np.ndarray,
    displacement_M: np.ndarray,
    novelty_M: np.ndarray,
    bank_ND: np.ndarray,
    real_N: np.ndarray,
    scales: Scales,
    memory: int = MEMORY,
    room: Room | None = None,
) -> Chosen:
    """Decide by the rule in use, keep the share asked for, restore its variance.

    A latent that restoration takes below the floor is "too close" after all.

    Args:
        policy: the numbers of the decision.
        latents_MD: corrected candidates, float32.
        displacement_M: |z - C(z)|.
        novelty_M: distance of C(z) to the nearest real latent; mirrored ones are real.
        bank_ND: the bank that the candidates were corrected towards, float32.
        real_N: bool, which of its rows are real.
        scales: the distances of the round's data.
        memory: bytes that it may take beside candidates, bank and result.
        room: for the admitted latents; None: in memory.
    """
    room = room or Room()
    decision = decide(displacement_M, novelty_M, threshold(policy, scales), floor(policy, scales))
    reasons_M = decision.reasons.copy()
    passed = np.flatnonzero(decision.admitted)
    if policy.share < 1 and len(passed):
        count = math.ceil(policy.share * len(passed))
        order = thinnest(room.choose(latents_MD, passed), bank_ND, count, memory)
        reasons_M[passed] = CROWDED
        reasons_M[passed[order]] = ADMITTED
    kept = np.flatnonzero(reasons_M == ADMITTED)
    latents_AD, novelty_A = room.choose(latents_MD, kept), novelty_M[kept]
    if policy.restore > 0 and len(kept) >= restoration.LEAST_LATENTS:
        real_RD = room.choose(bank_ND, np.flatnonzero(real_N))
        map_ = restoration.fit(latents_AD, real_RD, policy.restore)
        latents_AD = map_.apply_each(latents_AD, room)
        novelty_A1 = search.nearest(latents_AD, real_RD, 1, "euclidean", memory=memory)[1]
        novelty_A = novelty_A1[:, 0].astype(np.float64)
        close_A = novelty_A < decision.floor
        reasons_M[kept[close_A]] = TOO_CLOSE
        latents_AD = room.choose(latents_AD, np.flatnonzero(~close_A))
        novelty_A = novelty_A[~close_A]
    return Chosen(replace(decision, reasons=reasons_M), latents_AD, novelty_A)


def thinnest(
    latents_PD: np.ndarray, bank_ND: np.ndarray, count: int, memory: int = MEMORY
) -> np.ndarray:
    """Return `count` of P latents, each the farthest from the bank and those taken before it.

    Greedy farthest-point sampling (Gonzalez 1985): the largest gap of what is covered so far is at
    most twice the least that any `count` of them leave. `lirf.densify.farthest` does it.

    Returns:
        indices int64 into `latents_PD`, in the order in which they were taken.
    """
    assert 0 < count <= len(latents_PD), "as many as there are, at most"
    gap_P1 = search.nearest(latents_PD, bank_ND, 1, "euclidean", memory=memory)[1]
    return farthest.first(latents_PD, gap_P1[:, 0].astype(np.float64), count)


def decide(
    displacement_M: np.ndarray, novelty_M: np.ndarray, threshold: float, floor: float
) -> Decision:
    """Admit what moved at most `threshold` and ended at least `floor` from every real latent.

    Each candidate is judged alone. One that fails both tests is "too far": the floor is asked of
    those that the method itself would take.

    Args:
        displacement_M: |z - C(z)|.
        novelty_M: distance of C(z) to the nearest real latent; mirrored ones are real.
        threshold: as `threshold` gives.
        floor: as `floor` gives.
    """
    assert np.isfinite(displacement_M).all(), "displacements are finite"
    assert np.isfinite(novelty_M).all(), "novelties are finite"
    reasons_M = np.where(novelty_M < floor, TOO_CLOSE, ADMITTED)
    reasons_M = np.where(displacement_M > threshold, TOO_FAR, reasons_M)
    return Decision(reasons_M, threshold, floor)


def warning(
    decision: Decision,
    displacement_M: np.ndarray,
    novelty_M: np.ndarray,
    admit: Admit,
    scales: Scales,
) -> str | None:
    """Say in one line why nothing was admitted and what to change, or None if something was.

    The values that the line proposes admit about half of the candidates that stand in no other
    test's way, at least one.
    """
    if decision.admitted.any():
        return None
    near_M = displacement_M <= decision.threshold
    novel_M = novelty_M >= decision.floor
    remedies = []
    if not near_M.any():
        rest_M = novel_M if novel_M.any() else np.ones_like(novel_M)
        reach = float(np.median(displacement_M[rest_M]))
        remedies.append(_widen(reach, admit, scales))
        near_M = displacement_M <= reach
    if not (near_M & novel_M).any():
        novelty = float(np.median(novelty_M[near_M])) / scales.spacing
        novelty = _round(novelty * (1 - 1e-9), ROUND_FLOOR)
        remedies.append(f"set admit.novelty to {novelty:g}, or train for fewer steps")
    return (
        f"none of {len(displacement_M)} candidates is admitted, so the bank does not grow:"
        f" {decision.count(TOO_FAR)} too far (smallest displacement {displacement_M.min():.3g},"
        f" threshold {decision.threshold:.3g}), {decision.count(TOO_CLOSE)} too close"
        f" (largest novelty {novelty_M.max():.3g}, floor {decision.floor:.3g});"
        f" {' and '.join(remedies)}"
    )


def _widen(reach: float, admit: Admit, scales: Scales) -> str:
    """Return the change of `params.yaml` that lifts the threshold to `reach` at least."""
    if admit.rule == "quantile" and reach <= scales.anchors.max():
        above = int((scales.anchors <= reach).sum())  # position of the first anchor beyond reach
        quantile = _round(above / max(len(scales.anchors) - 1, 1), ROUND_CEILING)
        return f"set admit.quantile to {min(1.0, quantile):g}"
    unit = scales.lambda_ * scales.spacing
    if admit.rule == "published" or unit == 0:
        rule, key, value = "published", "tau", reach
    else:
        rule, key, value = "spacing", "spacing", reach / unit
    switch = "" if admit.rule == rule else f"admit.rule to {rule} and "
    return f"set {switch}admit.{key} to {_round(value * (1 + 1e-9), ROUND_CEILING):g}"


def _round(value: float, rounding: str) -> float:
    """Return `value` at two significant digits."""
    return float(Context(prec=2, rounding=rounding).create_decimal_from_float(value))
