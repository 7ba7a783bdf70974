"""A pretrained autoencoder: found, and checked against the images at hand."""

from __future__ import annotations

from pathlib import Path

from lirf import params
from lirf.autoencoder import kinds
from lirf.autoencoder import model as ae
from lirf.autoencoder.frame import Frame
from lirf.autoencoder.layout import CONFIG, WEIGHTS
from lirf.store import files, hub

START = "start"
"""The name of the one that ships, which the study `pretrain` made."""

SHIPPED = Path(__file__).parent / START
SHA256 = "de255938a8fe86fd9c1339e402710b74f1df0d914d5050ca044ef25dbd215eef"
"""Of its weights."""

FOLDERS = ("", "vae/")
"""Where the autoencoder may lie: a pipeline's folder has it in `vae`."""


def load(config: params.Autoencoder, channels: int, resolution: int) -> ae.Framed:
    """Return `config.pretrained` as an autoencoder of images [channels, resolution, resolution].

    It takes signals in -1..1, as all of diffusers' do. Grey images go into one for RGB three times
    over, and the luminance of its images is what comes out.

    Raises:
        ValueError: one line that says what is missing or does not fit, and the remedy.
    """
    model = kinds.read(find(config))
    taken, made = kinds.channels(model)
    if (taken, made) != (channels, channels) and (taken, made, channels) != (3, 3, 1):
        raise ValueError(
            f"autoencoder.pretrained = {config.pretrained}: takes images of {taken} channels and"
            f" makes ones of {made}, these have {channels}; take another, or change prepare.colour:"
            " only grey images can go through one for RGB"
        )
    config.latent_side(resolution, kinds.factor(model), "by which it is shrunk")
    return ae.Framed(kinds.without_traces(model), Frame(channels, config.enlarge))


def find(config: params.Autoencoder) -> Path:
    """Return the folder with the configuration and the weights of `config.pretrained`.

    Raises:
        ValueError: one line that says what is missing and where to put it.
    """
    assert config.pretrained is not None, "there is something to find"
    if config.pretrained == START:
        return _shipped()
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
            return top / place
    raise ValueError(
        f"autoencoder.pretrained = {config.pretrained}: there is no {CONFIG} in it, nor in vae/;"
        " name a folder in diffusers' layout"
    )


def _shipped() -> Path:
    """Return the folder of the one that ships.

    Raises:
        ValueError: its weights are not those that are known.
    """
    path = SHIPPED / WEIGHTS
    if not path.is_file() or files.sha256(path) != SHA256:
        raise ValueError(
            f"autoencoder.pretrained = {START}: {path} is missing or damaged; `git checkout"
            f" {path.name}` in its folder brings it back"
        )
    return SHIPPED


def name(pretrained: str) -> str:
    """Return what others may know it by: a folder's name without those above, or the hub's id."""
    if hub.ID.fullmatch(pretrained) and not Path(pretrained).is_dir():
        return pretrained
    return Path(pretrained).expanduser().resolve().name
