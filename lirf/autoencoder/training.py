"""Training of the autoencoder: its losses, its full state, the loop, and the state on disk.

As with the velocity field, the state carries all that the next step depends on, so that k steps,
saved, loaded and k more, are 2k steps bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lirf import params
from lirf.autoencoder import losses as terms
from lirf.autoencoder import model as ae
from lirf.autoencoder import pairs
from lirf.features.vision import Vision
from lirf.images import transforms
from lirf.store import files, tensors

FORMAT = 1
TENSORS, DOCUMENT = "state.safetensors", "state.json"
MOMENTS = ("exp_avg", "exp_avg_sq")

LEAST_BATCH = 4

WARMUP = 0.05
"""Share of the steps over which the learning rate rises."""
CLIP_NORM = 1.0
"""Largest norm of the gradient."""


@dataclass
class State:
    """All that the next step depends on but the images and `params.Autoencoder`.

    Attributes:
        model: the autoencoder in training.
        head: from latents to the transformer's features, for `alignment: dino`.
        average: of the weights by their name, with `ema_decay`.
        optimizer: Adam over model and head.
        generator: on the CPU, of pairs, shifts and noise.
        queue: images that are still to come before any comes again.
        step: steps taken so far.
    """

    model: ae.AutoencoderKL
    head: nn.Module | None
    average: dict[str, Tensor]
    optimizer: torch.optim.Adam
    generator: torch.Generator
    queue: Tensor
    step: int

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """Return all that is trained by its name."""
        parts = {"model": self.model, "head": self.head}
        return {
            f"{part}.{name}": weight
            for part, module in parts.items()
            if module is not None
            for name, weight in module.named_parameters()
        }


def sees(config: params.Autoencoder) -> bool:
    """Return whether training looks through the vision transformer."""
    return config.pretrained is None and (config.alignment == "dino" or config.feature_weight > 0)


def initial(
    config: params.Autoencoder,
    channels: int,
    resolution: int,
    device: torch.device,
    vision: Vision | None = None,
) -> State:
    """Return the untrained state; its weights and draws depend on `config.seed` alone.

    Raises:
        ValueError: the batch is too small, or the resolution does not fit.
    """
    if config.batch < LEAST_BATCH:
        raise ValueError(f"autoencoder.batch = {config.batch}: at least {LEAST_BATCH} needed")
    model = ae.to(ae.build(config, channels, resolution), device).train()
    head = None
    if config.alignment == "dino":
        assert vision is not None, "there is something to align to"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            head = terms.head(config.latent_channels, config.dino.width, vision.width)
        head.to(device)
    generator = torch.Generator().manual_seed(config.seed)
    weights = [*model.parameters(), *(head.parameters() if head else ())]
    optimizer = torch.optim.Adam(weights, lr=config.learning_rate)
    average = {}
    if config.ema_decay:
        average = {name: one.detach().clone() for name, one in model.named_parameters()}
    return State(model, head, average, optimizer, generator, torch.empty(0, dtype=torch.int64), 0)


def train(
    state: State,
    images_NCHW: np.ndarray,
    neighbours_NK: Tensor,
    config: params.Autoencoder,
    steps: int,
    vision: Vision | None = None,
) -> Iterator[dict[str, float]]:
    """Take `steps` of all `config.steps` on uint8 images; yield the unweighted losses of each.

    Half of a batch are images in random order, the other half a neighbour of each, all moved by
    up to `config.shift` of the side: so whatever the alignment. KL is per latent number. Adam; the
    learning rate rises over the first WARMUP of the steps and falls to 0 on half a cosine. Losses
    are in fp32 whatever `config.precision`.

    Raises:
        ValueError: a loss is not finite.
    """
    reach = round(config.shift * images_NCHW.shape[-1])
    trained = list(state.weights.values())
    device = trained[0].device
    for _ in range(steps):
        rate = config.learning_rate * _schedule(state.step / config.steps)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        i_P, j_P, state.queue = pairs.draw(
            neighbours_NK, state.queue, config.batch // 2, state.generator
        )
        x_BCHW = ae.pixels_to_signal(images_NCHW[torch.cat([i_P, j_P]).numpy()])
        x_BCHW = transforms.shifted_pairs(x_BCHW, reach, state.generator).to(device)
        losses, total = _losses(state, x_BCHW, config, vision)
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
        yield {name: loss.item() for name, loss in losses.items()}


def finished(state: State) -> ae.AutoencoderKL:
    """Return what training was for: the averaged weights where there are any, else the last."""
    if state.average:
        with torch.no_grad():
            for name, weight in state.model.named_parameters():
                weight.copy_(state.average[name])
    return state.model.eval()


def _losses(
    state: State, x_BCHW: Tensor, config: params.Autoencoder, vision: Vision | None
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the terms of the loss and their weighted sum; image i is paired with B/2 + i."""
    with torch.autocast(x_BCHW.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        posterior = ae.posterior(state.model, x_BCHW)
    mean_BCHW, std_BCHW = posterior.mean.float(), posterior.std.float()
    noise_BCHW = torch.randn(mean_BCHW.shape, generator=state.generator).to(mean_BCHW)
    with torch.autocast(x_BCHW.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        decoded_BCHW = ae.decoded(state.model, mean_BCHW + std_BCHW * noise_BCHW)
    error_BCHW = decoded_BCHW.float() - x_BCHW
    square = config.reconstruction == "l2"
    (xi, xj), (zi, zj) = x_BCHW.chunk(2), mean_BCHW.chunk(2)
    losses = {
        "reconstruction": (error_BCHW.square() if square else error_BCHW.abs()).mean(),
        "kl": posterior.kl().float().mean() / mean_BCHW[0].numel(),
        "manifold": terms.manifold(xi, xj, zi, zj),
    }
    keeps = config.manifold_weight if config.alignment == "manifold" else 0.0
    total = losses["reconstruction"] + config.kl_weight * losses["kl"] + keeps * losses["manifold"]
    if vision is None:
        return losses, total
    features_BFhw = vision.patches(x_BCHW)
    if config.feature_weight:
        losses["feature"] = terms.alignment(vision.patches(decoded_BCHW), features_BFhw, margin=0)
        total = total + config.feature_weight * losses["feature"]
    if state.head is not None:
        mapped_BFHW = state.head(mean_BCHW)
        losses["alignment"] = terms.alignment(mapped_BFHW, features_BFhw, config.dino.margin)
        last = state.model.encoder.conv_out.weight
        factor = terms.balance(losses["reconstruction"], losses["alignment"], last)
        total = total + config.dino.weight * factor * losses["alignment"]
    return losses, total


@torch.no_grad()
def _follow(state: State, decay: float) -> None:
    """Move the average towards the weights; over the first steps, faster."""
    slow = min(decay, (1 + state.step) / (10 + state.step))
    for name, weight in state.model.named_parameters():
        if name in state.average:
            state.average[name].lerp_(weight, 1 - slow)


def _schedule(progress: float) -> float:
    """Return the share of the learning rate at a share of the steps done."""
    return min(1.0, (progress + 1e-3) / WARMUP) * (1 + math.cos(math.pi * progress)) / 2


def save(state: State, folder: Path) -> None:
    """Write `state` to a new folder: safetensors and JSON; the same state gives the same bytes."""
    folder.mkdir()
    tensors.write(folder / TENSORS, {**_tensors(state), "queue": state.queue})
    document = {
        "format": FORMAT,
        "step": state.step,
        "generator": tensors.generator_to_text(state.generator),
        "files": files.checksums(folder),
    }
    files.write_json(folder / DOCUMENT, document)


def load(state: State, folder: Path) -> State:
    """Fill an untrained state of the same parameters with what `save` wrote, and return it.

    Raises:
        ValueError: names the file that is missing, damaged or of another model.
    """
    document = files.read_versioned(folder / DOCUMENT, FORMAT)
    path = folder / TENSORS
    try:
        stored = tensors.read(path, document["files"].get(TENSORS))
        state.queue = stored.pop("queue")
        into = _tensors(state)
        tensors.copy(stored, into, path, "this autoencoder")
        for name, weight in state.weights.items():
            moments = {moment: into[f"{name}.{moment}"] for moment in MOMENTS}
            state.optimizer.state[weight] = {
                "step": torch.tensor(float(document["step"])),
                **moments,
            }
        state.generator.set_state(tensors.generator_from_text(document["generator"]))
        state.step = int(document["step"])
    except (KeyError, TypeError):
        raise ValueError(f"{folder / DOCUMENT}: damaged; {files.REMEDY}") from None
    return state


def _tensors(state: State) -> dict[str, Tensor]:
    """Return weights, averages and moments by name; moments of an untrained state are zeros."""
    found: dict[str, Tensor] = {f"average.{name}": one for name, one in state.average.items()}
    for name, weight in state.weights.items():
        known = state.optimizer.state.get(weight, {})
        found[name] = weight.detach()
        for moment in MOMENTS:
            found[f"{name}.{moment}"] = known.get(moment, torch.zeros_like(weight.detach()))
    return found
