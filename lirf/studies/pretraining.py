"""The autoencoder that ships: trained on crops of the photographs that come with dependencies.

Fifteen pictures are few, so crops come at many sizes, mirrored, recoloured and brightened. Three
things beside the reconstruction make latents that a flow can be learned of: noise on them, so that
near latents are near images; now and then they are shrunk, which shall shrink the image (scale
equivariance, arXiv 2502.09509); and a pull towards the origin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from PIL.Image import Resampling
from torch import Tensor
from torch.nn import functional

from lirf.autoencoder.kinds import AutoencoderTiny
from lirf.autoencoder.losses import Eyes
from lirf.features import imagenet
from lirf.params import Pretrain

SIZES = (1, 0.7, 0.5, 0.35, 0.25, 0.18)
"""Of a photograph, that crops are cut from."""
MARGIN = 8
"""Px that it is at least larger than a crop."""
WARMUP = 0.02
"""Share of the steps over which the learning rate rises."""
CLIP_NORM = 1.0
"""Largest norm of the gradient."""
SHRUNK = (6 / 16, 15 / 16)
"""Least side of shrunken latents, and the first that is too large, in units of theirs."""


@dataclass(frozen=True)
class Photographs:
    """Photographs at several sizes, uint8 [H, W, 3], and how likely a crop is of each."""

    levels: list[np.ndarray]
    shares: np.ndarray

    @classmethod
    def at_sizes(cls, weighted: list[tuple[float, Image.Image]], side: int) -> Photographs:
        """Return all SIZES of photographs that a crop of `side` px fits into."""
        levels, weights = [], []
        for weight, picture in weighted:
            for size in SIZES:
                shape = round(picture.width * size), round(picture.height * size)
                if min(shape) >= side + MARGIN:
                    resized = picture if size == 1 else picture.resize(shape, Resampling.LANCZOS)
                    levels.append(np.asarray(resized))
                    weights.append(weight)
        return cls(levels, np.array(weights) / sum(weights))

    def crops(self, count: int, side: int, random: np.random.Generator) -> Tensor:
        """Return signals in -1..1 of random crops, float32 [count, 3, side, side]."""
        places = random.choice(len(self.levels), count, p=self.shares)
        drawn = [_varied(_cut(self.levels[place], side, random), random) for place in places]
        return torch.from_numpy(
            np.stack([crop_HWC.transpose(2, 0, 1) for crop_HWC in drawn])
        ).float()


def _cut(level_HWC: np.ndarray, side: int, random: np.random.Generator) -> np.ndarray:
    top = random.integers(0, level_HWC.shape[0] - side + 1)
    left = random.integers(0, level_HWC.shape[1] - side + 1)
    return level_HWC[top : top + side, left : left + side].astype(np.float32) / 127.5 - 1


def _varied(crop_HWC: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a crop mirrored, upside down, recoloured, grey, with another gamma and contrast."""
    if random.random() < 0.5:
        crop_HWC = crop_HWC[:, ::-1]
    if random.random() < 0.1:
        crop_HWC = crop_HWC[::-1]
    if random.random() < 0.5:
        crop_HWC = crop_HWC[..., random.permutation(3)]
    if random.random() < 0.15:
        crop_HWC = crop_HWC.mean(2, keepdims=True).repeat(3, 2)
    if random.random() < 0.5:
        crop_HWC = ((crop_HWC + 1) / 2) ** np.exp(random.normal(0, 0.3)) * 2 - 1
    if random.random() < 0.5:
        contrast, light = np.exp(random.normal(0, 0.2)), random.normal(0, 0.1)
        crop_HWC = np.clip(crop_HWC * contrast + light, -1, 1)
    return np.ascontiguousarray(crop_HWC)


@dataclass
class Training:
    """An autoencoder in training, and the average of its weights, which is what ships."""

    model: AutoencoderTiny
    eyes: Eyes
    optimizer: torch.optim.AdamW
    random: np.random.Generator  # of crops
    noise: torch.Generator
    average: dict[str, Tensor]

    @torch.no_grad()
    def follow(self, step: int, decay: float) -> None:
        """Move the average towards the weights; over the first steps, faster."""
        slow = min(decay, (1 + step) / (10 + step))
        for name, weight in self.model.named_parameters():
            self.average[name].lerp_(weight, 1 - slow)

    @torch.no_grad()
    def finished(self) -> AutoencoderTiny:
        """Return the model with the average weights."""
        for name, weight in self.model.named_parameters():
            weight.copy_(self.average[name])
        return self.model.eval()


def begin(config: Pretrain) -> Training:
    """Return the start of a training, which depends on `config.seed` alone."""
    levels = len(config.blocks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = AutoencoderTiny(
            encoder_block_out_channels=(config.width,) * levels,
            decoder_block_out_channels=(config.width,) * levels,
            num_encoder_blocks=config.blocks,
            num_decoder_blocks=config.blocks[::-1],
            latent_channels=config.latent_channels,
            scaling_factor=1.0,
        )
        eyes = Eyes(imagenet=imagenet.load(torch.device("cpu"), "pretrain"))
        noise = torch.Generator()
        noise.set_state(torch.get_rng_state())
    model.to(memory_format=torch.channels_last)  # pyright: ignore - wrongly annotated
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    average = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    random = np.random.default_rng(config.seed)
    return Training(model, eyes, optimizer, random, noise, average)


def train(
    training: Training, photographs: Photographs, config: Pretrain
) -> Iterator[dict[str, float]]:
    """Take all steps, and yield the unweighted losses of each."""
    for step in range(config.steps):
        x_BCHW = photographs.crops(config.batch, config.side, training.random)
        losses = _losses(training, x_BCHW, config)
        total = losses["reconstruction"] + config.feature_weight * losses["feature"]
        total = total + config.pull * losses["square"]
        if not torch.isfinite(total):
            raise ValueError(
                f"the autoencoder's loss is {total.item()} at step {step + 1}; lower"
                f" pretrain.learning_rate = {config.learning_rate}"
            )
        for group in training.optimizer.param_groups:
            group["lr"] = config.learning_rate * _schedule(step, config.steps)
        training.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), CLIP_NORM)
        training.optimizer.step()
        training.follow(step, config.ema_decay)
        yield {name: loss.item() for name, loss in losses.items()}


def _losses(training: Training, x_BCHW: Tensor, config: Pretrain) -> dict[str, Tensor]:
    """Return the distance in pixels and in features, and the latents' mean square."""
    x_BCHW = x_BCHW.to(memory_format=torch.channels_last)
    z_BCHW = training.model.encoder(x_BCHW)
    if training.random.random() < config.shrunk:
        side = z_BCHW.shape[-1]
        least, beyond = (round(share * side) for share in SHRUNK)
        small = int(training.random.integers(least, beyond))
        x_BCHW = _resized(x_BCHW, small * (config.side // side)).clamp(-1, 1)
        z_BCHW = _resized(z_BCHW, small)
    spread_1C11 = z_BCHW.detach().std((0, 2, 3), keepdim=True)
    drawn_BCHW = torch.empty_like(z_BCHW).normal_(generator=training.noise)
    share_B111 = torch.rand(len(z_BCHW), 1, 1, 1, generator=training.noise)
    noisy_BCHW = z_BCHW + config.noise * spread_1C11 * drawn_BCHW * share_B111
    made_BCHW = training.model.decoder(noisy_BCHW)
    seen = slice(0, config.featured)
    return {
        "reconstruction": (made_BCHW - x_BCHW).abs().mean(),
        "feature": training.eyes.distance("imagenet", made_BCHW[seen], x_BCHW[seen]),
        "square": z_BCHW.square().mean(),
    }


def _resized(x_BCHW: Tensor, side: int) -> Tensor:
    return functional.interpolate(x_BCHW, (side, side), mode="bicubic", antialias=True)


def _schedule(step: int, steps: int) -> float:
    """Return the share of the learning rate: a rise, and half a cosine."""
    return min(1, (step + 1) / (WARMUP * steps)) * (1 + math.cos(math.pi * step / steps)) / 2
