"""The autoencoders of diffusers by the name of their class: what each one's latents are.

A new one is an entry of `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_dc import AutoencoderDC
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.autoencoders.vq_model import VQModel
from diffusers.utils import logging
from torch import Tensor, nn

from lirf.autoencoder.layout import CONFIG, WEIGHTS
from lirf.store import files

Model = AutoencoderKL | AutoencoderTiny | AutoencoderDC | VQModel

ENCODERS = ("encoder.", "quant_conv.", "quantize.")
"""What the names of those weights begin with that decide latents, or what a latent counts as."""

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)
"""What diffusers and safetensors raise at a configuration or weights that are not right."""


@dataclass(frozen=True)
class Kind:
    """A class of autoencoders.

    Attributes:
        cls: diffusers' class.
        widths: the key of its configuration that has an entry for each level.
        posterior: from what its `encode` returns to a Gaussian over latents. A deterministic one
            has no spread and no divergence.
    """

    cls: type[Model]
    widths: str
    posterior: Callable[[Any], DiagonalGaussianDistribution]


def _point(z_BCHW: Tensor) -> DiagonalGaussianDistribution:
    """Return the Gaussian without spread at latents."""
    both_BCHW = torch.cat([z_BCHW, torch.zeros_like(z_BCHW)], dim=1)
    return DiagonalGaussianDistribution(both_BCHW, deterministic=True)


KINDS = {
    kind.cls.__name__: kind
    for kind in (
        Kind(AutoencoderKL, "block_out_channels", lambda found: found.latent_dist),
        Kind(AutoencoderTiny, "encoder_block_out_channels", lambda found: _point(found.latents)),
        Kind(AutoencoderDC, "encoder_block_out_channels", lambda found: _point(found.latent)),
        # Before they are quantised, which is the first thing that its decoder does.
        Kind(VQModel, "block_out_channels", lambda found: _point(found.latents)),
    )
}


def of(model: Model) -> Kind:
    """Return the kind of a model."""
    return KINDS[type(model).__name__]


def factor(model: Model) -> int:
    """Return how many times smaller than an image a latent is along either side."""
    return 2 ** (len(model.config[of(model).widths]) - 1)


def channels(model: Model) -> tuple[int, int]:
    """Return how many channels the images have that it takes, and those that it makes."""
    taken = model.config["in_channels"]
    return taken, model.config.get("out_channels", taken)


def latent_channels(model: Model) -> int:
    """Return how many channels a latent has."""
    return model.config.get("vq_embed_dim") or model.config["latent_channels"]


def last_of_encoder(model: Model) -> nn.Parameter:
    """Return the weight of the encoder's last layer."""
    return [one for one in model.encoder.parameters() if one.ndim > 1][-1]


def freeze_encoder(model: Model) -> None:
    """Let training leave all weights as they are that latents depend on."""
    for name, weight in model.named_parameters():
        weight.requires_grad_(not name.startswith(ENCODERS))


def posterior(model: Model, x_BCHW: Tensor) -> DiagonalGaussianDistribution:
    """Return the Gaussian over latents of images in -1..1."""
    return of(model).posterior(model.encode(x_BCHW))


def decoded(model: Model, z_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the images, about -1..1, of latents, and how far these are from the codebook's.

    The latter is the loss of a vector-quantised model; None of all others.
    """
    of_any: Any = model  # each class annotates it differently
    found = of_any.decode(z_BCHW)
    return found.sample, found.commit_loss


def read(folder: Path) -> Model:
    """Read an autoencoder in diffusers' layout, float32.

    No pickle is read and no code of the folder is run.

    Raises:
        ValueError: one line that says what is missing or wrong, and the remedy.
    """
    name = files.read_json(folder / CONFIG).get("_class_name")
    if name not in KINDS:
        raise ValueError(
            f"{folder / CONFIG}: _class_name is {name}, must be one of {', '.join(KINDS)}"
        )
    if not (folder / WEIGHTS).is_file():
        raise ValueError(
            f"{folder / WEIGHTS}: missing; weights are read as one safetensors file, never"
            " unpickled: take the repository's own, or convert them"
        )
    cls: Any = KINDS[name].cls
    try:
        with _quiet():
            model, report = cls.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
        wrong = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
    except UNREADABLE as error:
        raise ValueError(f"{folder}: not an {name} that can be read ({error})") from None
    if wrong:
        raise ValueError(
            f"{folder / WEIGHTS}: not the weights of {CONFIG} beside it: {wrong[0]} and"
            f" {len(wrong) - 1} others are missing there or too many"
        )
    return model.float().eval()


def without_traces(model: Model) -> Model:
    """Return an equal model whose configuration does not tell the folder that it was read from."""
    config = {key: value for key, value in model.config.items() if key[0] != "_"}
    with _quiet():
        clean: Any = type(model).from_config(config)
    clean.load_state_dict({name: one.contiguous() for name, one in model.state_dict().items()})
    return clean.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep diffusers from warning of keys that it writes into configurations itself."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
