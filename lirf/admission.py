"""The admission policy: which corrected candidates join the bank, and why the others do not.

A candidate passes two tests. Its displacement must be small: it was near the
bank before it was corrected. And it must be new: a copy of a real latent also moves little. Both
are measured against distances of the data itself (`Scales`), because latents have no natural
unit: the published absolute threshold admits nothing from latents of unit variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

import numpy as np

from lirf.params import Admit

ADMITTED = "admitted"
TOO_FAR = "too far"
TOO_CLOSE = "too close"


@dataclass(frozen=True)
class Scales:
    """The distances of one round's data that displacement and novelty are held against."""

    lambda_: float  # of the correction that was made
    anchors: np.ndarray  # [N] displacement of every real latent, left out of its own neighbours
    spacing: float  # median distance of a real latent to the nearest one of another image


@dataclass(frozen=True)
class Decision:
    """One reason a candidate, and the two limits that it was held against."""

    reasons: np.ndarray  # [M] of str: ADMITTED, TOO_FAR or TOO_CLOSE
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


def admit(
    policy: Admit, displacement_M: np.ndarray, novelty_M: np.ndarray, scales: Scales
) -> Decision:
    """Decide by the rule in use: `decide` with its `threshold` and `floor`."""
    return decide(displacement_M, novelty_M, threshold(policy, scales), floor(policy, scales))


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
