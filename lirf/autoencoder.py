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

from lirf import augmentation, files, manifold, params
from lirf.space import Space

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
FINGERPRINT = "fingerprint.json"
LEAST_BATCH = 4
LEAST_GROUP = 4
"""Channels normalised together, at least. One alone would forget its own mean and scale."""

WARMUP = 0.05
"""Share of the steps over which the learning rate rises."""
CLIP_NORM = 1.0
"""Largest norm of the gradient."""


@dataclass(frozen=True)
class Autoencoder:
    """A trained model and the fingerprint of its files: the name of its latent space."""

    model: AutoencoderKL
    fingerprint: str


@dataclass(frozen=True)
class Losses:
    """The terms of the loss at one step, unweighted."""

    reconstruction: float
    kl: float
    manifold: float


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
            scaling_factor=1.0,  # scaling belongs to the store: see lirf.space
        )


def train(
    model: AutoencoderKL,
    images_NCHW: np.ndarray,
    config: params.Autoencoder,
    device: torch.device,
) -> Iterator[Losses]:
    """Train `model` in place on uint8 images; yield the losses of each of `config.steps` steps.

    Half of a batch are images in random order, the other half a neighbour of each, all moved by
    up to `config.shift` of the side. Reconstruction is the mean absolute error, KL is per latent
    number, the manifold loss is that of `lirf.manifold`. Adam; the learning rate rises over the
    first WARMUP of the steps and falls to 0 on half a cosine. fp32.

    Raises:
        ValueError: too few images for the neighbours, or a loss that is not finite.
    """
    if config.batch < LEAST_BATCH:
        raise ValueError(f"autoencoder.batch = {config.batch}: at least {LEAST_BATCH} needed")
    generator = torch.Generator().manual_seed(config.seed)
    x_NCHW = pixels_to_signal(images_NCHW)
    reach = round(config.shift * images_NCHW.shape[-1])
    neighbours_NK = manifold.neighbours(images_NCHW, config.manifold_neighbours)
    batches = manifold.pairs(neighbours_NK, config.batch // 2, generator)
    _to(model, device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _schedule(step / config.steps)
        x_BCHW = augmentation.shifted_pairs(x_NCHW[torch.cat(next(batches))], reach, generator)
        losses = _losses(model, x_BCHW.to(device), generator)
        total = losses[0] + config.kl_weight * losses[1] + config.manifold_weight * losses[2]
        if not torch.isfinite(total):
            raise ValueError(
                f"the autoencoder's loss is {total.item()} at step {step + 1};"
                f" lower autoencoder.learning_rate = {config.learning_rate}"
            )
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        yield Losses(*(loss.item() for loss in losses))
    model.eval()


def _losses(
    model: AutoencoderKL, x_BCHW: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return reconstruction, KL and manifold loss; image i of the batch is paired with B/2 + i."""
    posterior = _posterior(model, x_BCHW)
    mean_BCHW = posterior.mean
    noise_BCHW = torch.randn(mean_BCHW.shape, generator=generator).to(mean_BCHW)
    decoded_BCHW = _decoded(model, mean_BCHW + posterior.std * noise_BCHW)
    reconstruction = (decoded_BCHW - x_BCHW).abs().mean()
    kl = posterior.kl().mean() / mean_BCHW[0].numel()
    (xi, xj), (zi, zj) = x_BCHW.chunk(2), mean_BCHW.chunk(2)
    return reconstruction, kl, manifold.loss(xi, xj, zi, zj)


def _schedule(progress: float) -> float:
    """Return the share of the learning rate at a share of the steps done."""
    return min(1.0, (progress + 1e-3) / WARMUP) * (1 + math.cos(math.pi * progress)) / 2


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
    return Autoencoder(_to(model, device).eval(), actual)


@torch.no_grad()
def encode(
    autoencoder: Autoencoder, images_NCHW: np.ndarray, batch: int, device: torch.device
) -> np.ndarray:
    """Return the raw (unscaled) latents of uint8 images: the posterior's mean, float32."""
    latents = [
        _posterior(autoencoder.model, pixels_to_signal(part).to(device)).mean.cpu().numpy()
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
        signal_to_pixels(_decoded(autoencoder.model, torch.tensor(space.unscale(part)).to(device)))
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


def _to(model: AutoencoderKL, device: torch.device) -> AutoencoderKL:
    """Return the model, moved to `device`."""
    return model.to(device)  # pyright: ignore[reportArgumentType]


def _posterior(model: AutoencoderKL, x_BCHW: torch.Tensor) -> DiagonalGaussianDistribution:
    """Return the Gaussian over latents of images in -1..1."""
    return model.encode(x_BCHW).latent_dist  # pyright: ignore[reportAttributeAccessIssue]


def _decoded(model: AutoencoderKL, z_BCHW: torch.Tensor) -> torch.Tensor:
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
