"""Give a set of latents back the variance that correction took from it.

Correction averages, and averages vary less than what they are made of: round after round the bank
would shrink towards its own middle. The remedy is the optimal-transport map between two Gaussians
(Dowson and Landau 1982): the one linear map that gives a set the mean and the covariance of the
real latents and moves it least.

    T(x) = m_R + A (x - m_S),   A = S^-1/2 (S^1/2 R S^1/2)^1/2 S^-1/2

S and R are covariances within the span of the real latents, which is all that N of them determine;
what a latent has outside of that span stays. Computed in float64.

Few rows are decomposed as they are; of many the covariances are summed in blocks, so that memory is
that of a few D x D matrices. Which it is depends on the rows' number alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lirf.store.rows import Room, blocks

RANK = 1e-6
"""Axes along which the real latents vary this little, relative to the first, are no axes."""

LEAST_LATENTS = 2

WHOLE_BYTES = 2**28
"""As many bytes of float64 rows are decomposed as they are, unless they span fewer axes than D."""

BLOCK_BYTES = 2**26
"""Float64 rows that are mapped or summed at a time."""


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

    def apply_each(self, latents_MD: np.ndarray, room: Room) -> np.ndarray:
        """Return what `apply` does, a block at a time."""
        mapped_MD = room.empty(latents_MD.shape)
        for rows in _blocks(latents_MD):
            mapped_MD[rows] = self.apply(latents_MD[rows])
        return mapped_MD


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
    centre_D, target_D = _mean(latents_SD), _mean(real_RD)
    values_k, axes_kD = _principal(real_RD, target_D)
    kept = values_k > RANK * values_k[0]
    axes_kD = axes_kD[kept]
    wanted_kk = np.diag(values_k[kept] ** 2 / (len(real_RD) - 1))
    found_kk = _covariance(latents_SD, centre_D, axes_kD)
    root_kk, inverse_kk = _roots(found_kk)
    middle_kk, _ = _roots(root_kk @ wanted_kk @ root_kk)
    return Restoration(axes_kD, centre_D, target_D, inverse_kk @ middle_kk @ inverse_kk, strength)


def _blocks(rows_ND: np.ndarray) -> Iterator[slice]:
    return blocks(len(rows_ND), 8 * rows_ND.shape[1], BLOCK_BYTES)


def _whole(rows_ND: np.ndarray) -> bool:
    """Return whether rows are few enough to be taken at once."""
    return 8 * len(rows_ND) * rows_ND.shape[1] <= WHOLE_BYTES


def _mean(rows_ND: np.ndarray) -> np.ndarray:
    if _whole(rows_ND):
        return rows_ND.astype(np.float64).mean(axis=0)
    sums = [rows_ND[rows].sum(axis=0, dtype=np.float64) for rows in _blocks(rows_ND)]
    return np.sum(sums, axis=0) / len(rows_ND)


def _principal(rows_ND: np.ndarray, mean_D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the singular values of centred rows [k], largest first, and their axes [k, D]."""
    dimension = rows_ND.shape[1]
    if _whole(rows_ND) or len(rows_ND) <= dimension:
        _, values_k, axes_kD = np.linalg.svd(rows_ND - mean_D, full_matrices=False)
        return values_k, axes_kD
    scatter_DD = np.zeros((dimension, dimension))
    for rows in _blocks(rows_ND):
        centred_BD = rows_ND[rows] - mean_D
        scatter_DD += centred_BD.T @ centred_BD
    squares_D, axes_DD = np.linalg.eigh(scatter_DD)
    return np.sqrt(np.maximum(squares_D[::-1], 0)), axes_DD.T[::-1]


def _covariance(rows_ND: np.ndarray, mean_D: np.ndarray, axes_kD: np.ndarray) -> np.ndarray:
    """Return the covariance of rows along axes, [k, k]."""
    if _whole(rows_ND):
        centred_ND = rows_ND.astype(np.float64) - mean_D
        return np.atleast_2d(np.cov(centred_ND @ axes_kD.T, rowvar=False))
    sums_kk = np.zeros((len(axes_kD), len(axes_kD)))
    for rows in _blocks(rows_ND):
        inside_Bk = (rows_ND[rows] - mean_D) @ axes_kD.T
        sums_kk += inside_Bk.T @ inside_Bk
    return sums_kk / (len(rows_ND) - 1)


def _roots(covariance_kk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the symmetric square root and its pseudo-inverse."""
    values_k, vectors_kk = np.linalg.eigh((covariance_kk + covariance_kk.T) / 2)
    roots_k = np.sqrt(np.maximum(values_k, 0))
    usable_k = roots_k > RANK * roots_k.max(initial=0)
    inverse_k = np.divide(1, roots_k, out=np.zeros_like(roots_k), where=usable_k)
    return (vectors_kk * roots_k) @ vectors_kk.T, (vectors_kk * inverse_k) @ vectors_kk.T
