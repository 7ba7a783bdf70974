"""2-d points on a noisy spiral: a distribution that is known, so truth can be asked.

The curve is the involute of a circle, whose arms keep their distance and whose arc length has a
closed form. With a the circle's radius and phi the angle:

    x(phi) = a (cos phi + phi sin phi, sin phi - phi cos phi),   length from 0: a phi^2 / 2

Arms are 2 pi a apart. That gap is the unit of every length here, so a = 1 / (2 pi). The spiral
starts at phi = pi. Around it lies Gaussian noise, the same in both directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from lirf.measure.memorised import find_memorised

CIRCLE = 1 / (2 * math.pi)  # radius of the involute's circle: arms one unit apart
START = math.pi
SEGMENTS = 1000  # of equal length that stand for the curve
OFF = 3.0  # noise radii beyond which a point is off the curve


@dataclass(frozen=True)
class Spiral:
    """A spiral of so many turns, and the noise radius: the standard deviation along each axis."""

    turns: float
    noise: float

    @property
    def length(self) -> float:
        """Return the arc length."""
        end = START + 2 * math.pi * self.turns
        return CIRCLE * (end**2 - START**2) / 2

    def at(self, arc_N: np.ndarray) -> np.ndarray:
        """Return the points [N, 2] of the curve at the arc positions, from 0 to `length`."""
        phi_N = np.sqrt(START**2 + 2 * arc_N / CIRCLE)
        x_N = np.cos(phi_N) + phi_N * np.sin(phi_N)
        y_N = np.sin(phi_N) - phi_N * np.cos(phi_N)
        return CIRCLE * np.stack([x_N, y_N], axis=1)

    def points(self, count: int, seed: int) -> np.ndarray:
        """Draw points [N, 2], uniform along the curve, in random order.

        The curve is cut into `count` equal stretches and each gets one point: every point is
        uniform over the curve, and no stretch stays empty by chance.
        """
        rng = np.random.default_rng(seed)
        arc_N = (rng.permutation(count) + rng.random(count)) * self.length / count
        return self.at(arc_N) + self.noise * rng.standard_normal((count, 2))

    def distance(self, xy_M2: np.ndarray) -> np.ndarray:
        """Return the distance [M] of points to the curve."""
        knots_K2 = self.at(np.linspace(0, self.length, SEGMENTS + 1))
        step_S2 = np.diff(knots_K2, axis=0)
        from_MS2 = xy_M2[:, None] - knots_K2[:-1]
        along_MS = (from_MS2 * step_S2).sum(axis=2) / (step_S2**2).sum(axis=1)
        foot_MS2 = along_MS.clip(0, 1)[:, :, None] * step_S2
        return np.linalg.norm(from_MS2 - foot_MS2, axis=2).min(axis=1)

    def covered(self, xy_M2: np.ndarray) -> float:
        """Return the share of the curve that has one of the points within the noise radius."""
        middle_S = (np.arange(SEGMENTS) + 0.5) * self.length / SEGMENTS
        return float((cdist(self.at(middle_S), xy_M2).min(axis=1) <= self.noise).mean())


def transport(a_M2: np.ndarray, b_M2: np.ndarray) -> float:
    """Return the mean distance that M points must move to become M others: Wasserstein-1."""
    cost_MM = cdist(a_M2, b_M2)
    return float(cost_MM[linear_sum_assignment(cost_MM)].mean())


def measure(
    spiral: Spiral, samples_M2: np.ndarray, train_N2: np.ndarray, truth_M2: np.ndarray
) -> dict[str, float]:
    """Compare samples with the spiral, with their training points and with a draw of the truth.

    Lengths are in units of the gap between the arms, the rest are shares in [0, 1]. `covered`
    grows with M: compare it at one M only, beside that of a draw of the truth.

    - `to_curve`: mean distance to the curve;
    - `covered`: share of the curve with a sample within the noise radius;
    - `off`: share of samples farther than three noise radii from the curve;
    - `memorised`: share of samples that are far nearer to one training point than to any other;
    - `nearest`: mean distance to the nearest training point;
    - `transport`: Wasserstein-1 distance to `truth_M2`.
    """
    to_curve_M = spiral.distance(samples_M2)
    # No point is another's near-duplicate, though on a curve it looks so by chance: one dimension.
    none_N0 = np.empty((len(train_N2), 0), np.int64)
    memorised = find_memorised(samples_M2, train_N2[None], alike=none_N0)
    return {
        "to_curve": float(to_curve_M.mean()),
        "covered": spiral.covered(samples_M2),
        "off": float((to_curve_M > OFF * spiral.noise).mean()),
        "memorised": memorised.share,
        "nearest": float(memorised.distance[:, 0].mean()),
        "transport": transport(samples_M2, truth_M2),
    }
