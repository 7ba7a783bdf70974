"""The pipeline of a published model: noise to latents to images, with diffusers' usual options.

Exported models carry a copy of this file as `pipeline.py`, with what it imports of this package
written into it: diffusers fetches no second file for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

from lirf.autoencoder.frame import in_channels, resized

OUTPUT_TYPES = ("pil", "np", "pt", "latent")


class LatentFlowPipeline(DiffusionPipeline):
    """Draw images from noise by following a velocity field in an autoencoder's latent space.

    Args:
        vae: any autoencoder of diffusers that decodes latents to images in -1..1.
        network: the velocity field.
        scheduler: the solver.
        channels: of the images, 1 or 3.
        enlarge: how many times larger than an image is what the autoencoder decodes.
    """

    model_cpu_offload_seq = "network->vae"

    def __init__(self, vae: Any, network: Any, scheduler: Any, channels: int = 3, enlarge: int = 1):
        super().__init__()
        self.register_modules(vae=vae, network=network, scheduler=scheduler)
        self.register_to_config(channels=channels, enlarge=enlarge)

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int | None = None,
        num_inference_steps: int | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        seeds: Sequence[int] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Draw images.

        Args:
            batch_size: how many, by default one, or one for each of `seeds`.
            num_inference_steps: intervals of the solver, by default as in training.
            generator: of the noise; a list has one for each image.
            seeds: of the noise, one for each image, in [0, 2**63): then an image is the same
                whatever the batch, and the same as that of the workflow that made this model.
            output_type: "pil", "np" ([B, H, W, C] in 0..1), "pt" ([B, C, H, W] in 0..1) or
                "latent" (scaled latents [B, C, H, W]).
            return_dict: False for a plain tuple.

        Raises:
            ValueError: an option is out of its range, or a sample is not finite.
        """
        if output_type not in OUTPUT_TYPES:
            raise ValueError(
                f"output_type = {output_type!r}: must be one of {', '.join(OUTPUT_TYPES)}"
            )
        if not hasattr(self.scheduler, "advance"):
            raise ValueError(
                f"scheduler = {type(self.scheduler).__name__}: must be the FlowScheduler of this"
                " model; its options are solver, steps, atol and rtol"
            )
        device = self._execution_device
        x_BCHW = self._noise(batch_size, generator, seeds).to(device, self.network.dtype)
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        intervals = range(len(self.scheduler.timesteps) - 1)
        for interval in self.progress_bar(intervals):  # pyright: ignore - wrongly annotated
            x_BCHW = self.scheduler.advance(self.network, interval, x_BCHW)
        finite_B = x_BCHW.flatten(1).isfinite().all(dim=1)
        if not bool(finite_B.all()):
            raise ValueError(f"image {int(finite_B.int().argmin())} is not finite; use more steps")
        images: Any = x_BCHW if output_type == "latent" else self._images(x_BCHW, output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images) if return_dict else (images,)

    def _noise(
        self,
        batch_size: int | None,
        generator: torch.Generator | list[torch.Generator] | None,
        seeds: Sequence[int] | None,
    ) -> Tensor:
        """Return standard normal noise [B, C, H, W], of seeds or of torch's generators."""
        lists = {"seeds": seeds, "generator": generator if isinstance(generator, list) else None}
        if seeds is not None and generator is not None:
            raise ValueError("seeds and generator: give one of them")
        if batch_size is None:
            batch_size = 1 if seeds is None else len(seeds)
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"batch_size = {batch_size!r}: must be a positive integer")
        for name, values in lists.items():
            if values is not None and len(values) != batch_size:
                raise ValueError(f"{len(values)} {name} for batch_size = {batch_size}: one each")
        shape = self.network.shape
        if seeds is None:
            return randn_tensor((batch_size, *shape), generator=generator, dtype=torch.float32)
        for seed in seeds:
            if not 0 <= seed < 2**63:
                raise ValueError(f"seed {seed}: must be in [0, 2**63)")
        # NumPy's generators: torch's on the CPU keep the low 32 bits of a seed only.
        keyed = (np.random.Generator(np.random.Philox(key=int(seed))) for seed in seeds)
        draws = [one.standard_normal(shape, dtype=np.float32) for one in keyed]
        return torch.from_numpy(np.stack(draws))

    def _images(self, z_BCHW: Tensor, output_type: str) -> Any:
        """Decode scaled latents."""
        raw_BCHW = self.network.unscale(z_BCHW).to(self.vae.dtype)
        config: Any = self.config
        signal_BCHW = resized(self.vae.decode(raw_BCHW).sample.float(), 1 / config["enlarge"])
        signal_BCHW = in_channels(signal_BCHW, config["channels"]).clamp(-1, 1)
        if output_type == "pt":
            return (signal_BCHW + 1) / 2
        if output_type == "np":
            return ((signal_BCHW + 1) / 2).permute(0, 2, 3, 1).cpu().numpy()
        pixels_BCHW = ((signal_BCHW + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
        return [
            Image.fromarray(one_CHW[0] if len(one_CHW) == 1 else one_CHW.transpose(1, 2, 0))
            for one_CHW in pixels_BCHW
        ]
