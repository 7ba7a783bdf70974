"""The latent space: which autoencoder made a latent, and how it is scaled."""

from __future__ import annotations

import operator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

    Array = TypeVar("Array", np.ndarray, torch.Tensor)


@dataclass(frozen=True)
class Space:
    """A scaled latent space. In memory latents are always scaled; only this file converts.

    Attributes:
        autoencoder: fingerprint of the autoencoder that encodes and decodes.
        shape: (C, H, W) of one latent.
        mean: per-channel mean of the raw latents.
        std: per-channel standard deviation of the raw latents.
    """

    autoencoder: str
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def measure(cls, raw_NCHW: np.ndarray, autoencoder: str) -> Self:
        """Return the space in which `raw_NCHW` has mean 0 and variance 1 in every channel.

        Raises:
            ValueError: a channel is constant, so it cannot be scaled.
        """
        mean = raw_NCHW.mean(axis=(0, 2, 3), dtype=np.float64)
        std = raw_NCHW.std(axis=(0, 2, 3), dtype=np.float64)
        if not (std > 0).all():
            raise ValueError(
                f"latent channel {int(np.argmin(std))} is constant over all images:"
                " lower autoencoder.latent_channels or autoencoder.kl_weight"
            )
        _, *shape = raw_NCHW.shape
        return cls(autoencoder, tuple(shape), tuple(mean.tolist()), tuple(std.tolist()))

    def scale(self, raw_NCHW: Array) -> Array:
        """Return (raw - mean) / std per channel, in float32."""
        mean, std = self._columns(raw_NCHW)
        return (raw_NCHW - mean) / std

    def unscale(self, z_NCHW: Array) -> Array:
        """Return z * std + mean per channel, in float32: the inverse of `scale`."""
        mean, std = self._columns(z_NCHW)
        return z_NCHW * std + mean

    def require(self, other: Space, what: str) -> None:
        """Check that latents of `other` may meet latents of this space.

        Raises:
            ValueError: names `what` differs, and the remedy.
        """
        for name, mine in asdict(self).items():
            theirs = asdict(other)[name]
            if mine != theirs:
                raise ValueError(
                    f"{what}: latents of another space: {name} is {theirs}, expected {mine};"
                    " rerun `dvc repro encode` and what follows it"
                )

    def to_json(self) -> dict[str, Any]:
        """Return the space as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            autoencoder = str(document["autoencoder"])
            C, H, W = (operator.index(side) for side in document["shape"])
            mean, std = (tuple(map(float, document[name])) for name in ("mean", "std"))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ValueError("not a latent space") from None
        if min(C, H, W) < 1 or not len(mean) == len(std) == C:
            raise ValueError(f"not a latent space: {C}x{H}x{W} with {len(mean)} means")
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and min(std) > 0):
            raise ValueError("not a latent space: its scaling is not finite")
        return cls(autoencoder, (C, H, W), mean, std)

    def _columns(self, like_NCHW: Array) -> tuple[Array, Array]:
        """Return mean and std as [C, 1, 1] of the same kind and device as `like_NCHW`."""
        mean = np.array(self.mean, np.float32).reshape(-1, 1, 1)
        std = np.array(self.std, np.float32).reshape(-1, 1, 1)
        if isinstance(like_NCHW, np.ndarray):
            return mean, std
        return like_NCHW.new_tensor(mean), like_NCHW.new_tensor(std)


def flat(latents_NCHW: np.ndarray) -> np.ndarray:
    """Return latents as rows, [N, D]; there may be none."""
    return latents_NCHW.reshape(len(latents_NCHW), int(np.prod(latents_NCHW.shape[1:])))
