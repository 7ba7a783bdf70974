"""The autoencoder: pixels to latents and back, in diffusers' own file layout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from lirf import params
from lirf.autoencoder import kinds, layout
from lirf.autoencoder.frame import Frame, pixels_to_signal, signal_to_pixels
from lirf.autoencoder.kinds import AutoencoderKL, Model
from lirf.store.space import Space

LEAST_GROUP = 4
"""Channels normalised together, at least. One alone would forget its own mean and scale."""

DECODED = 64
"""Images decoded at a time where `sample.batch` is left open: they are larger than latents."""


@dataclass(frozen=True)
class Framed:
    """A model of diffusers', and how images meet it."""

    model: Model
    frame: Frame

    def seen(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return images in -1..1 as the model takes them."""
        return self.frame.into(x_BCHW, kinds.channels(self.model)[0])


@dataclass(frozen=True)
class Autoencoder(Framed):
    """One that was saved, and the fingerprint of its files: the name of its latent space."""

    fingerprint: str


def build(config: params.Autoencoder, channels: int, resolution: int) -> Framed:
    """Return an untrained autoencoder for images [channels, resolution, resolution].

    Latents are [config.latent_channels, side / f, side / f] with f = 2^(len(config.widths) - 1)
    and side = resolution * config.enlarge. The weights depend on `config.seed` alone.

    Raises:
        ValueError: the resolution cannot be halved that often.
    """
    levels = len(config.widths)
    config.latent_side(resolution, 2 ** (levels - 1), f"which {levels} autoencoder.widths need")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            # Annotated as tuples of one.
            down_block_types=("DownEncoderBlock2D",) * levels,  # pyright: ignore
            up_block_types=("UpDecoderBlock2D",) * levels,  # pyright: ignore
            block_out_channels=config.widths,  # pyright: ignore
            layers_per_block=config.layers_per_block,
            latent_channels=config.latent_channels,
            norm_num_groups=max(1, math.gcd(*config.widths) // LEAST_GROUP),
            sample_size=resolution * config.enlarge,
            scaling_factor=1.0,  # scaling belongs to the store: see lirf.store.space
        )
    return Framed(model, Frame(channels, config.enlarge))


def save(framed: Framed, folder: Path) -> str:
    """Write diffusers' own files and the fingerprint beside them; return the fingerprint.

    The same weights give the same bytes. `from_pretrained(folder)` of diffusers reads them. The
    frame stands beside the fingerprint where it is not just the model's own images.
    """
    model, frame = framed.model, framed.frame
    model.save_pretrained(folder, safe_serialization=True)
    own = frame == Frame(kinds.channels(model)[1])
    return layout.seal(folder, {} if own else asdict(frame))


def load(folder: Path, device: torch.device) -> Autoencoder:
    """Read what `save` wrote, after comparing the files with their fingerprint.

    Raises:
        ValueError: a file is missing, or is not the one that was saved.
    """
    fingerprint, frame = layout.check(folder)
    model = kinds.read(folder)
    framed = Frame(**frame) if frame else Frame(kinds.channels(model)[1])
    return Autoencoder(to(model, device), framed, fingerprint)


@torch.no_grad()
def encode(
    autoencoder: Framed, images_NCHW: np.ndarray, batch: int, device: torch.device
) -> np.ndarray:
    """Return the raw (unscaled) latents of uint8 images: the posterior's mean, float32."""
    seen = (
        autoencoder.seen(pixels_to_signal(part).to(device)) for part in _parts(images_NCHW, batch)
    )
    means = (kinds.posterior(autoencoder.model, one).mean for one in seen)
    return np.concatenate([mean_BCHW.cpu().numpy() for mean_BCHW in means])


def decode(
    autoencoder: Autoencoder, z_NCHW: np.ndarray, space: Space, batch: int, device: torch.device
) -> np.ndarray:
    """Return the uint8 images of scaled latents of `space`.

    Raises:
        ValueError: `space` belongs to another autoencoder.
    """
    if space.autoencoder != autoencoder.fingerprint:
        raise ValueError(
            f"the latents are of autoencoder {space.autoencoder[:12]}, not of"
            f" {autoencoder.fingerprint[:12]}: rerun `dvc repro encode` and what follows it"
        )
    return _decode(autoencoder, map(space.unscale, _parts(z_NCHW, batch)), device)


def round_trip(
    autoencoder: Framed, images_NCHW: np.ndarray, batch: int, device: torch.device
) -> np.ndarray:
    """Return uint8 images as they come back from their latents."""
    raw_NCHW = encode(autoencoder, images_NCHW, batch, device)
    return _decode(autoencoder, _parts(raw_NCHW, batch), device)


def to(model: Model, device: torch.device) -> Model:
    """Return the model, moved to `device`."""
    return model.to(device)  # pyright: ignore[reportArgumentType] - wrongly annotated


@torch.no_grad()
def _decode(autoencoder: Framed, raw: Iterable[np.ndarray], device: torch.device) -> np.ndarray:
    """Return the uint8 images of batches of raw latents."""
    decoded = (
        kinds.decoded(autoencoder.model, torch.tensor(raw_BCHW).to(device))[0] for raw_BCHW in raw
    )
    return np.concatenate([signal_to_pixels(autoencoder.frame.out_of(one)) for one in decoded])


def _parts(array: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Cut the first axis into parts of `size` rows, the last one shorter."""
    for start in range(0, len(array), size):
        yield array[start : start + size]
