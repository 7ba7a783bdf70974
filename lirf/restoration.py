"""Give a set of latents back the variance that correction took from it.

Correction averages, and averages vary less than what they are made of: round after round the bank
would shrink towards its own middle. The remedy is the optimal-transport map between two Gaussians
(Dowson and Landau 1982): the one linear map that gives a set the mean and the covariance of the
real latents and moves it least.

    T(x) = m_R + A (x - m_S),   A = S^-1/2 (S^1/2 R S^1/2)^1/2 S^-1/2

S and R are covariances within the span of the real latents, which is all that N of them determine;
what a latent has outside of that span stays. Computed in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RANK = 1e-6
"""Axes along which the real latents vary this little, relative to the first, are no axes."""

LEAST_LATENTS = 2


@dataclass(frozen=True)
class Restoration:
    """The map x -> x + strength (T(x) - x)."""

    axes: np.ndarray  # [k, D] orthonormal, the span of the real latents
    centre: np.ndarray  # [D] m_S
    target: np.ndarray  # [D] m_R
    stretch: np.ndarray  # [k, k] A along the axes
    strength: float

    def apply(self, latents_MD: np.ndarray) -> np.ndarray:
        """Return mapped latents, float32 like those of a bank."""
        centred_MD = latents_MD - self.centre
        inside_Mk = centred_MD @ self.axes.T
        shift_MD = (inside_Mk @ self.stretch.T - inside_Mk) @ self.axes
        shift_MD += self.target - self.centre
        return (latents_MD + self.strength * shift_MD).astype(np.float32)


def fit(latents_SD: np.ndarray, real_RD: np.ndarray, strength: float) -> Restoration:
    """Return the map that takes `latents_SD` to the mean and covariance of `real_RD`.

    With fewer latents than axes the map is that of least norm: where the set does not vary at all
    there is nothing to stretch.

    Args:
        latents_SD: corrected latents, one a row.
        real_RD: the real latents.
        strength: share of the way: 0 maps nothing, 1 restores mean and covariance fully.
    """
    assert 0 <= strength <= 1, "strength is a fraction"
    assert len(latents_SD) >= LEAST_LATENTS, "a covariance needs two latents"
    latents_SD, real_RD = latents_SD.astype(np.float64), real_RD.astype(np.float64)
    centre_D, target_D = latents_SD.mean(axis=0), real_RD.mean(axis=0)
    _, values_k, axes_kD = np.linalg.svd(real_RD - target_D, full_matrices=False)
    kept = values_k > RANK * values_k[0]
    axes_kD = axes_kD[kept]
    wanted_kk = np.diag(values_k[kept] ** 2 / (len(real_RD) - 1))
    found_kk = np.atleast_2d(np.cov((latents_SD - centre_D) @ axes_kD.T, rowvar=False))
    root_kk, inverse_kk = _roots(found_kk)
    middle_kk, _ = _roots(root_kk @ wanted_kk @ root_kk)
    return Restoration(axes_kD, centre_D, target_D, inverse_kk @ middle_kk @ inverse_kk, strength)


def _roots(covariance_kk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the symmetric square root and its pseudo-inverse."""
    values_k, vectors_kk = np.linalg.eigh((covariance_kk + covariance_kk.T) / 2)
    roots_k = np.sqrt(np.maximum(values_k, 0))
    usable_k = roots_k > RANK * roots_k.max(initial=0)
    inverse_k = np.divide(1, roots_k, out=np.zeros_like(roots_k), where=usable_k)
    return (vectors_kk * roots_k) @ vectors_kk.T, (vectors_kk * inverse_k) @ vectors_kk.T
