"""Images by other tools, for `lirf score`: each trains in pixels for M minutes, then draws N.

`uv run --with denoising-diffusion-pytorch --with rectified-flow-pytorch python
tests/benchmarks/rivals.py --tool ddpm --training DIR --minutes 20 --samples 1000 --out DIR`

Minutes are the processor's, of all threads, and those of training alone. Each tool has its own
loss, schedule, optimiser and average of the weights as its own training script sets them, batches
of 16, and images mirrored at random. Networks are the smallest that each is sensibly used with on a
processor, of 32, 64 and 128 channels, with attention at the innermost level. Tried with the
versions named here.

ddpm: denoising-diffusion-pytorch 2.3.4. Its `Unet(32, dim_mults=(1, 2, 4))` predicts v on a sigmoid
    schedule; Adam, rate 1e-4, betas 0.9 and 0.99; gradients clipped at 1; average 0.995 every 10
    steps; 50 steps of DDIM.
rectified: rectified-flow-pytorch 0.14.0. Its `Unet(32, dim_mults=(1, 2, 4))` predicts the velocity;
    Adam, rate 3e-4; gradients clipped at 0.5; average by the defaults of ema-pytorch; 16 times of
    the midpoint rule.
diffusers: as its example of unconditional generation, `UNet2DModel` with two layers a block, and
    `DDPMScheduler`, which predicts the noise on a linear schedule; AdamW, rate 1e-4, betas 0.95 and
    0.999, decay 1e-6, 500 steps of warm-up and then constant, as nobody knows how many steps M
    minutes hold; gradients clipped at 1; average with inv_gamma 1, power 3/4, at most 0.9999; 50
    steps of DDIM, not 1,000 of DDPM.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import photographs
import torch
from torch import Tensor

from lirf.report import pictures

WIDTH, LEVELS = 32, (1, 2, 4)
BATCH = 16
DRAWN = 50  # images at a time
STEPS = 50  # of DDIM


@dataclass(frozen=True)
class Rival:
    """A tool at work.

    Attributes:
        weights: what is trained.
        optimizer: of these.
        loss: of a batch in 0..1.
        averaged: brings the average of the weights up to date, after every step.
        draw: a number of images in 0..1, by the average.
        clip: the largest norm of gradients.
        warmup: steps until the optimiser has its rate.
    """

    weights: torch.nn.Module
    optimizer: torch.optim.Optimizer
    loss: Callable[[Tensor], Tensor]
    averaged: Callable[[], object]
    draw: Callable[[int], Tensor]
    clip: float
    warmup: int = 1


def ddpm(channels: int, side: int) -> Rival:
    """Return denoising-diffusion-pytorch, as its Trainer sets it."""
    tool = _tool("denoising_diffusion_pytorch")
    average = _tool("ema_pytorch").EMA
    network = tool.Unet(WIDTH, dim_mults=LEVELS, channels=channels)
    model = tool.GaussianDiffusion(network, image_size=side, sampling_timesteps=STEPS)
    ema = average(model, beta=0.995, update_every=10)
    adam = torch.optim.Adam(model.parameters(), 1e-4, betas=(0.9, 0.99))
    return Rival(model, adam, model, ema.update, lambda n: ema.ema_model.sample(batch_size=n), 1.0)


def rectified(channels: int, side: int) -> Rival:
    """Return rectified-flow-pytorch, as its Trainer sets it."""
    tool = _tool("rectified_flow_pytorch")
    average = _tool("ema_pytorch").EMA
    model = tool.RectifiedFlow(tool.Unet(WIDTH, dim_mults=LEVELS, channels=channels))
    ema = average(model, forward_method_names=("sample",))
    adam = torch.optim.Adam(model.parameters(), 3e-4)
    shape = (channels, side, side)
    return Rival(
        model, adam, model, ema.update, lambda n: ema.sample(batch_size=n, data_shape=shape), 0.5
    )


def diffusers(channels: int, side: int) -> Rival:
    """Return diffusers, as its example of unconditional generation sets it."""
    tool = _tool("diffusers")
    average = _tool("diffusers.training_utils").EMAModel
    model = tool.UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=2,
        block_out_channels=tuple(WIDTH * level for level in LEVELS),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    )
    noising = tool.DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    ema = average(model.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    adam = torch.optim.AdamW(model.parameters(), 1e-4, (0.95, 0.999), 1e-8, weight_decay=1e-6)

    def loss(x_BCHW: Tensor) -> Tensor:
        clean_BCHW = 2 * x_BCHW - 1
        noise_BCHW = torch.randn_like(clean_BCHW)
        t_B = torch.randint(1000, (len(x_BCHW),))
        noised_BCHW = noising.add_noise(clean_BCHW, noise_BCHW, t_B)
        return torch.nn.functional.mse_loss(model(noised_BCHW, t_B).sample, noise_BCHW)

    def draw(count: int) -> Tensor:
        ema.store(model.parameters())
        ema.copy_to(model.parameters())
        pipeline = tool.DDIMPipeline(model, tool.DDIMScheduler.from_config(noising.config))
        pipeline.set_progress_bar_config(disable=True)
        drawn_BHWC = pipeline(count, num_inference_steps=STEPS, output_type="np").images
        ema.restore(model.parameters())
        return torch.tensor(drawn_BHWC).permute(0, 3, 1, 2)

    return Rival(model, adam, loss, lambda: ema.step(model.parameters()), draw, 1.0, 500)


TOOLS = {"ddpm": ddpm, "rectified": rectified, "diffusers": diffusers}


def train(rival: Rival, images_NCHW: Tensor, minutes: float, generator: torch.Generator) -> int:
    """Train on images in 0..1 for so many minutes of the processor; return the steps taken."""
    rates = [group["lr"] for group in rival.optimizer.param_groups]
    begun, step = time.process_time(), 0
    rival.weights.train()
    order: list[int] = []
    while time.process_time() - begun < 60 * minutes:
        while len(order) < BATCH:
            order += torch.randperm(len(images_NCHW), generator=generator).tolist()
        chosen, order = order[:BATCH], order[BATCH:]
        mirrored_B = torch.rand(BATCH, generator=generator) < 0.5
        batch_BCHW = images_NCHW[chosen]
        batch_BCHW = torch.where(mirrored_B[:, None, None, None], batch_BCHW.flip(3), batch_BCHW)
        step += 1
        for group, rate in zip(rival.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, step / rival.warmup)
        loss = rival.loss(batch_BCHW)
        rival.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rival.weights.parameters(), rival.clip)
        rival.optimizer.step()
        rival.averaged()
        if step & (step - 1) == 0:  # powers of two
            spent = (time.process_time() - begun) / 60
            print(f"step {step}: loss {loss.item():.4f}, {spent:.1f} minutes", flush=True)
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tool", choices=TOOLS, required=True)
    parser.add_argument("--training", type=Path, required=True, help="folder of images")
    parser.add_argument("--minutes", type=float, required=True, help="of the processor")
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="empty folder")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.out.exists() and any(options.out.iterdir()):
        sys.exit(f"error: {options.out}: not empty; name another folder with --out")
    if options.resolution % 2 ** (len(LEVELS) - 1):
        sys.exit(f"error: --resolution {options.resolution}: name a multiple of 4")
    real_NCHW = photographs.read(options.training, options.resolution, "train")
    if (real_NCHW == real_NCHW[:, :1]).all():
        real_NCHW = real_NCHW[:, :1]
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    rival = TOOLS[options.tool](real_NCHW.shape[1], options.resolution)
    weights = sum(one.numel() for one in rival.weights.parameters() if one.requires_grad)
    print(f"{options.tool}: {weights:,} weights, {len(real_NCHW)} images", flush=True)
    steps = train(rival, torch.tensor(real_NCHW) / 255, options.minutes, generator)
    rival.weights.eval()
    options.out.mkdir(parents=True, exist_ok=True)
    begun = time.process_time()
    for first in range(0, options.samples, DRAWN):
        drawn_BCHW = rival.draw(min(DRAWN, options.samples - first)).detach()
        pixels_BCHW = (255 * drawn_BCHW.clamp(0, 1)).round().numpy().astype(np.uint8)
        for place, image_CHW in enumerate(pixels_BCHW, start=first):
            pictures.save(pictures.single(image_CHW), options.out / f"{place:05d}.png")
    drawing = (time.process_time() - begun) / 60
    print(f"{steps} steps; {options.samples} images drawn in {drawing:.1f} minutes")


def _tool(name: str) -> Any:
    """Return a module of another tool's, which this project does not install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        sys.exit(f"error: {error}; run it by the command at the head of this file")


if __name__ == "__main__":
    main()
