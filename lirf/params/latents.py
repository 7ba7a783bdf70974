"""The sections `autoencoder` and `encode`: from images to latents."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from lirf.params.base import Count, Decay, NonNegative, Positive, Section, Seed, Text, Whole


class Dino(Section):
    """Alignment to a vision transformer: see `lirf.autoencoder.losses`.

    `weight` is relative to the reconstruction: at 1 both pull equally hard at the latents.
    """

    weight: NonNegative
    margin: Decay
    width: Count


class Vision(Section):
    """A frozen vision transformer of timm's, its weights, and the side of its input in px."""

    model: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.]+$")]
    weights: Text | None
    resolution: Annotated[int, Field(ge=16, le=1024)]


class Midpoints(Section):
    """Between how many neighbours of every image, and in which features, midpoints are judged."""

    neighbours: Count
    features: Literal["edges", "pixels", "vision"]


class Autoencoder(Section):
    """Where the KL autoencoder comes from; its size and training where it is trained here.

    `pretrained` is a folder in diffusers' layout or the name of one on a hub.
    """

    pretrained: Text | None
    download: bool
    seed: Seed
    latent_channels: Annotated[int, Field(ge=1, le=16)]
    widths: Annotated[tuple[Count, ...], Field(min_length=1, max_length=6, strict=False)]
    layers_per_block: Count
    steps: Count
    batch: Count
    learning_rate: Positive
    precision: Literal["float32", "bfloat16"]
    ema_decay: Decay
    checkpoint_every: Count
    reconstruction: Literal["l1", "l2"]
    feature_weight: NonNegative
    kl_weight: NonNegative
    alignment: Literal["none", "manifold", "dino"]
    manifold_weight: NonNegative
    manifold_neighbours: Count
    dino: Dino
    vision: Vision
    shift: Annotated[float, Field(ge=0, le=0.5)]
    midpoints: Midpoints


class Augmentation(Section):
    """Random versions of every training image; strengths as in `lirf.images.transforms.draw`."""

    views: Whole
    seed: Seed
    flip: bool
    shift: Annotated[float, Field(ge=0, le=0.5)]
    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, le=1)]
    anisotropy: Annotated[float, Field(ge=0, le=1)]


class Encode(Section):
    """How many images are encoded at a time, and which versions of them besides the bank's."""

    batch: Count
    augmentation: Augmentation
