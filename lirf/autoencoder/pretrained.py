"""A pretrained autoencoder: found, checked, and turned into one for the images at hand."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lirf import params
from lirf.autoencoder.model import CONFIG, WEIGHTS, AutoencoderKL
from lirf.store import files, hub

FOLDERS = ("", "vae/")
"""Where the autoencoder may lie: a pipeline's folder has it in `vae`."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601, as Pillow's)."""

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)
"""What diffusers and safetensors raise at a configuration or weights that are not right."""


def load(config: params.Autoencoder, channels: int, resolution: int) -> AutoencoderKL:
    """Return `config.pretrained` as an autoencoder of images [channels, resolution, resolution].

    It takes signals in -1..1, as all of diffusers' do. One for RGB works for grey images, and the
    other way round: the change is folded into its first and last weights. No pickle is read and
    no code of the folder is run.

    Raises:
        ValueError: one line that says what is missing or does not fit, and the remedy.
    """
    folder = find(config)
    try:
        model, report = AutoencoderKL.from_pretrained(  # pyright: ignore - wrongly annotated
            folder,
            local_files_only=True,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
        wrong = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
    except UNREADABLE as error:
        raise ValueError(f"{folder}: not an AutoencoderKL that can be read ({error})") from None
    if wrong:
        raise ValueError(
            f"{folder / WEIGHTS}: not the weights of {CONFIG} beside it: {wrong[0]} and"
            f" {len(wrong) - 1} others are missing there or too many"
        )
    levels = len(model.config["block_out_channels"])
    if resolution % 2 ** (levels - 1):
        raise ValueError(
            f"prepare.resolution = {resolution}: not divisible by {2 ** (levels - 1)}, by which"
            f" {config.pretrained} shrinks images; change it"
        )
    return _for_channels(model.float(), channels)


def find(config: params.Autoencoder) -> Path:
    """Return the folder with the configuration and the weights of `config.pretrained`.

    Raises:
        ValueError: one line that says what is missing and where to put it.
    """
    assert config.pretrained is not None, "there is something to find"
    top = Path(config.pretrained).expanduser()
    if not top.is_dir():
        patterns = [place + name for place in FOLDERS for name in (CONFIG, WEIGHTS)]
        try:
            top = hub.snapshot(config.pretrained, patterns, config.download)
        except ValueError as error:
            raise ValueError(
                f"autoencoder.pretrained = {error}; name a folder that has {CONFIG} and {WEIGHTS}"
                f"{hub.or_fetch(config.pretrained, config.download)}"
            ) from None
    for place in FOLDERS:
        if (top / place / CONFIG).is_file():
            return _checked(top / place)
    raise ValueError(
        f"autoencoder.pretrained = {config.pretrained}: there is no {CONFIG} in it, nor in vae/;"
        " name a folder in diffusers' layout"
    )


def name(pretrained: str) -> str:
    """Return what others may know it by: a folder's name without those above, or the hub's id."""
    if hub.ID.fullmatch(pretrained) and not Path(pretrained).is_dir():
        return pretrained
    return Path(pretrained).expanduser().resolve().name


def _checked(folder: Path) -> Path:
    """Return `folder` after making sure that it holds an AutoencoderKL as safetensors."""
    kind = files.read_json(folder / CONFIG).get("_class_name")
    if kind != "AutoencoderKL":
        raise ValueError(f"{folder / CONFIG}: _class_name is {kind}, must be AutoencoderKL")
    if not (folder / WEIGHTS).is_file():
        raise ValueError(
            f"{folder / WEIGHTS}: missing; weights are read as one safetensors file, never"
            " unpickled: take the repository's own, or convert them"
        )
    return folder


@torch.no_grad()
def _for_channels(model: AutoencoderKL, channels: int) -> AutoencoderKL:
    """Return an equal autoencoder whose images have `channels`, without traces of its folder.

    Grey images go into one for RGB three times over, and its images' luminance is what comes out;
    of RGB images a grey one sees the luminance, and makes grey images.
    """
    config = {name: value for name, value in model.config.items() if not name.startswith("_")}
    weights = model.state_dict()
    share = torch.tensor(LUMINANCE).reshape(1, 3, 1, 1)
    first, last = "encoder.conv_in.weight", "decoder.conv_out"
    match (config["in_channels"], config["out_channels"], channels):
        case (before, after, _) if before == after == channels:
            pass
        case (3, 3, 1):
            weights[first] = weights[first].sum(dim=1, keepdim=True)
            for name, shape in ((f"{last}.weight", (3, 1, 1, 1)), (f"{last}.bias", (3,))):
                weights[name] = (weights[name] * share.reshape(shape)).sum(dim=0, keepdim=True)
        case (1, 1, 3):
            weights[first] = weights[first] * share
            for name in (f"{last}.weight", f"{last}.bias"):
                weights[name] = torch.cat([weights[name]] * 3)
        case (before, after, _):
            raise ValueError(
                f"autoencoder.pretrained: takes images of {before} channels and makes ones of"
                f" {after}, these have {channels}; only grey and RGB can stand in for one another"
            )
    clean = AutoencoderKL.from_config(config | {"in_channels": channels, "out_channels": channels})
    assert isinstance(clean, AutoencoderKL), "from_config makes what it is called on"
    _fill(clean, weights)
    return clean.eval()


def _fill(model: AutoencoderKL, weights: dict[str, Tensor]) -> None:
    """Copy all weights in."""
    model.load_state_dict({name: tensor.contiguous() for name, tensor in weights.items()})
