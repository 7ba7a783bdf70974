"""Training of the autoencoder, from nothing or from pretrained weights: its losses and the loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lirf import params
from lirf.autoencoder import aside, kinds, pairs
from lirf.autoencoder import losses as terms
from lirf.autoencoder import model as ae
from lirf.autoencoder.state import State
from lirf.images import transforms

WARMUP = 0.05
"""Share of the steps over which the learning rate rises."""
CLIP_NORM = 1.0
"""Largest norm of the gradient."""


@dataclass(frozen=True)
class Examples:
    """Images to train on, uint8 NCHW, the neighbours of each, [N, k], and images set aside."""

    images: np.ndarray
    neighbours: Tensor
    aside: np.ndarray


def gather(config: params.Autoencoder, images_NCHW: np.ndarray, group_N: np.ndarray) -> Examples:
    """Return what is trained on of uint8 images, and `config.holdout` of their groups set aside.

    Raises:
        ValueError: too few are left.
    """
    aside_N = aside.split(group_N, config.holdout, config.seed)
    left_NCHW = images_NCHW[~aside_N]
    neighbours_NK = pairs.neighbours(left_NCHW, config.manifold_neighbours)
    return Examples(left_NCHW, neighbours_NK, images_NCHW[aside_N])


def train(
    state: State,
    examples: Examples,
    config: params.Autoencoder,
    steps: int,
    eyes: terms.Eyes = terms.BLIND,
) -> Iterator[dict[str, float]]:
    """Take `steps` of all `config.steps` on the examples; yield the unweighted losses of each.

    Half of a batch are images in random order, the other half a neighbour of each, all moved by
    up to `config.shift` of the side: so whatever the alignment. KL is per latent number. Adam; the
    learning rate rises over the first WARMUP of the steps and falls to 0 on half a cosine. Losses
    are in fp32 whatever `config.precision`. `aside` is the last look at the images set aside.

    Raises:
        ValueError: a loss is not finite.
    """
    images_NCHW, aside_NCHW = examples.images, examples.aside
    reach = round(config.shift * images_NCHW.shape[-1])
    trained = list(state.weights.values())
    device = trained[0].device
    moments = aside.moments(config.steps) if len(aside_NCHW) else []
    if moments and not state.looks:
        _look(state, aside_NCHW, config, eyes)
    for _ in range(steps):
        rate = config.learning_rate * _schedule(state.step / config.steps)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        i_P, j_P, state.queue = pairs.draw(
            examples.neighbours, state.queue, config.batch // 2, state.generator
        )
        x_BCHW = ae.pixels_to_signal(images_NCHW[torch.cat([i_P, j_P]).numpy()])
        x_BCHW = transforms.shifted_pairs(x_BCHW, reach, state.generator)
        if config.flip:
            x_BCHW = pairs.mirrored(x_BCHW, state.generator)
        losses, total = _losses(state, x_BCHW.to(device), config, eyes)
        if not torch.isfinite(total):
            raise ValueError(
                f"the autoencoder's loss is {total.item()} at step {state.step + 1};"
                f" lower autoencoder.learning_rate = {config.learning_rate}"
            )
        state.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP_NORM)
        state.optimizer.step()
        _follow(state, config.ema_decay)
        state.step += 1
        if state.step in moments:
            _look(state, aside_NCHW, config, eyes)
        row = {name: loss.item() for name, loss in losses.items()}
        yield row | ({"aside": state.looks[-1]} if moments else {})


def _losses(
    state: State, x_BCHW: Tensor, config: params.Autoencoder, eyes: terms.Eyes
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the terms of the loss and their weighted sum; image i is paired with B/2 + i."""
    model, frame = state.framed.model, state.framed.frame
    half = config.precision == "bfloat16"
    seen_BCHW = state.framed.seen(x_BCHW)
    with torch.autocast(x_BCHW.device.type, torch.bfloat16, enabled=half):
        posterior = kinds.posterior(model, seen_BCHW)
    mean_BCHW, std_BCHW = posterior.mean.float(), posterior.std.float()
    noise_BCHW = torch.randn(mean_BCHW.shape, generator=state.generator).to(mean_BCHW)
    with torch.autocast(x_BCHW.device.type, torch.bfloat16, enabled=half):
        made_BCHW, commitment = kinds.decoded(model, mean_BCHW + std_BCHW * noise_BCHW)
    decoded_BCHW = frame.out_of(made_BCHW.float())
    (xi, xj), (zi, zj) = x_BCHW.chunk(2), mean_BCHW.chunk(2)
    losses = {
        "reconstruction": _reconstruction(decoded_BCHW, x_BCHW, config),
        "kl": posterior.kl().float().mean() / mean_BCHW[0].numel(),
        "manifold": terms.manifold(xi, xj, zi, zj),
    }
    keeps = config.manifold_weight if config.alignment == "manifold" else 0.0
    total = losses["reconstruction"] + config.kl_weight * losses["kl"] + keeps * losses["manifold"]
    if commitment is not None:
        losses["commitment"] = commitment.float()
        total = total + losses["commitment"]
    if config.feature_weight:
        losses["feature"] = eyes.distance(config.perceptual, decoded_BCHW, x_BCHW)
        total = total + config.feature_weight * losses["feature"]
    if state.head is not None:
        align = config.align
        mapped_BFHW = state.head(mean_BCHW)
        features_BFhw = eyes.followed(align.by).patches(x_BCHW)
        losses["alignment"] = terms.alignment(mapped_BFHW, features_BFhw, align.margin)
        last = kinds.last_of_encoder(model)
        factor = terms.balance(losses["reconstruction"], losses["alignment"], last)
        total = total + align.weight * factor * losses["alignment"]
    return losses, total


def _reconstruction(decoded_BCHW: Tensor, x_BCHW: Tensor, config: params.Autoencoder) -> Tensor:
    error_BCHW = decoded_BCHW - x_BCHW
    return (error_BCHW.square() if config.reconstruction == "l2" else error_BCHW.abs()).mean()


@torch.no_grad()
def _look(
    state: State, aside_NCHW: np.ndarray, config: params.Autoencoder, eyes: terms.Eyes
) -> None:
    """Hold what training would end with against the images set aside, and keep it if it is best.

    The loss is that of the reconstruction from the means of latents, in pixels and in features.
    """
    model, frame = state.framed.model, state.framed.frame
    device = next(model.parameters()).device
    total = 0.0
    with state.ending():
        for start in range(0, len(aside_NCHW), config.batch):
            x_BCHW = ae.pixels_to_signal(aside_NCHW[start : start + config.batch]).to(device)
            raw_BCHW = kinds.posterior(model, state.framed.seen(x_BCHW)).mean
            decoded_BCHW = frame.out_of(kinds.decoded(model, raw_BCHW)[0])
            loss = _reconstruction(decoded_BCHW, x_BCHW, config)
            if config.feature_weight:
                far = eyes.distance(config.perceptual, decoded_BCHW, x_BCHW)
                loss = loss + config.feature_weight * far
            total += loss.item() * len(x_BCHW)
        state.keep_if_best(total / len(aside_NCHW))


@torch.no_grad()
def _follow(state: State, decay: float) -> None:
    """Move the average towards the weights; over the first steps, faster."""
    slow = min(decay, (1 + state.step) / (10 + state.step))
    trained = state.trained
    for name, average in state.average.items():
        average.lerp_(trained[name], 1 - slow)


def _schedule(progress: float) -> float:
    """Return the share of the learning rate at a share of the steps done."""
    return min(1.0, (progress + 1e-3) / WARMUP) * (1 + math.cos(math.pi * progress)) / 2
