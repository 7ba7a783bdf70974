"""The KL autoencoder: pixels to latents and back, in diffusers' own file layout."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from lirf import params
from lirf.store import files
from lirf.store.space import Space

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
FINGERPRINT = "fingerprint.json"
LEAST_GROUP = 4
"""Channels normalised together, at least. One alone would forget its own mean and scale."""

DECODED = 64
"""Images decoded at a time where `sample.batch` is left open: they are larger than latents."""


@dataclass(frozen=True)
class Autoencoder:
    """A trained model and the fingerprint of its files: the name of its latent space."""

    model: AutoencoderKL
    fingerprint: str


def build(config: params.Autoencoder, channels: int, resolution: int) -> AutoencoderKL:
    """Return an untrained autoencoder for images [channels, resolution, resolution].

    Latents are [config.latent_channels, resolution / f, resolution / f] with f =
    2^(len(config.widths) - 1). The weights depend on `config.seed` alone.

    Raises:
        ValueError: the resolution cannot be halved that often.
    """
    levels = len(config.widths)
    factor = 2 ** (levels - 1)
    if resolution % factor:
        raise ValueError(
            f"prepare.resolution = {resolution}: not divisible by {factor}, which"
            f" {levels} autoencoder.widths need; change the one or the other"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            # Annotated as tuples of one.
            down_block_types=("DownEncoderBlock2D",) * levels,  # pyright: ignore
            up_block_types=("UpDecoderBlock2D",) * levels,  # pyright: ignore
            block_out_channels=config.widths,  # pyright: ignore
            layers_per_block=config.layers_per_block,
            latent_channels=config.latent_channels,
            norm_num_groups=max(1, math.gcd(*config.widths) // LEAST_GROUP),
            sample_size=resolution,
            scaling_factor=1.0,  # scaling belongs to the store: see lirf.store.space
        )


def save(model: AutoencoderKL, folder: Path) -> str:
    """Write diffusers' own files and the fingerprint beside them; return the fingerprint.

    The same weights give the same bytes. `AutoencoderKL.from_pretrained(folder)` reads them.
    """
    model.save_pretrained(folder, safe_serialization=True)
    fingerprint = _fingerprint(folder)
    files.write_json(folder / FINGERPRINT, {"fingerprint": fingerprint})
    return fingerprint


def load(folder: Path, device: torch.device) -> Autoencoder:
    """Read what `save` wrote, after comparing the files with their fingerprint.

    Raises:
        ValueError: a file is missing, or is not the one that was saved.
    """
    for name in (CONFIG, WEIGHTS, FINGERPRINT):
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name}: missing; `dvc repro autoencoder` writes it")
    expected = str(files.read_json(folder / FINGERPRINT).get("fingerprint"))
    actual = _fingerprint(folder)
    if actual != expected:
        raise ValueError(
            f"{folder}: fingerprint {actual[:12]} is not {expected[:12]} of {FINGERPRINT}: the"
            " files were changed; `dvc checkout` restores them"
        )
    model = AutoencoderKL.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
    )
    return Autoencoder(to(model, device).eval(), actual)


@torch.no_grad()
def encode(
    autoencoder: Autoencoder, images_NCHW: np.ndarray, batch: int, device: torch.device
) -> np.ndarray:
    """Return the raw (unscaled) latents of uint8 images: the posterior's mean, float32."""
    latents = [
        posterior(autoencoder.model, pixels_to_signal(part).to(device)).mean.cpu().numpy()
        for part in _parts(images_NCHW, batch)
    ]
    return np.concatenate(latents)


@torch.no_grad()
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
    images = [
        signal_to_pixels(decoded(autoencoder.model, torch.tensor(space.unscale(part)).to(device)))
        for part in _parts(z_NCHW, batch)
    ]
    return np.concatenate(images)


def pixels_to_signal(images_NCHW: np.ndarray) -> torch.Tensor:
    """Map uint8 0..255 to float32 -1..1."""
    assert images_NCHW.dtype == np.uint8, "pixels are uint8"
    return torch.tensor(images_NCHW).float() / 127.5 - 1


def signal_to_pixels(signal_NCHW: torch.Tensor) -> np.ndarray:
    """Map float32 -1..1 to uint8 0..255: clipped, rounded to nearest.

    Raises:
        ValueError: a value is not finite, which would become a black pixel.
    """
    bad = (~signal_NCHW.isfinite()).nonzero()
    if len(bad):
        raise ValueError(
            f"decoded image {int(bad[0, 0])} of a batch is not finite: lower"
            " autoencoder.learning_rate and rerun `dvc repro`"
        )
    return ((signal_NCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()


# The annotations of diffusers are wrong in what the next three call.


def to(model: AutoencoderKL, device: torch.device) -> AutoencoderKL:
    """Return the model, moved to `device`."""
    return model.to(device)  # pyright: ignore[reportArgumentType]


def posterior(model: AutoencoderKL, x_BCHW: torch.Tensor) -> DiagonalGaussianDistribution:
    """Return the Gaussian over latents of images in -1..1."""
    return model.encode(x_BCHW).latent_dist  # pyright: ignore[reportAttributeAccessIssue]


def decoded(model: AutoencoderKL, z_BCHW: torch.Tensor) -> torch.Tensor:
    """Return the images, about -1..1, of raw latents."""
    return model.decode(z_BCHW).sample  # pyright: ignore


def _parts(array: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Cut the first axis into parts of `size` rows, the last one shorter."""
    for start in range(0, len(array), size):
        yield array[start : start + size]


def _fingerprint(folder: Path) -> str:
    """Return the SHA-256 over the bytes of configuration and weights."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()
