"""The sections `autoencoder` and `encode`: from images to latents."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from lirf.params.base import Count, Decay, NonNegative, Positive, Section, Seed, Text, Whole


class Align(Section):
    """Alignment to a frozen network's features: see `lirf.autoencoder.losses`.

    `weight` is relative to the reconstruction: at 1 both pull equally hard at the latents. `width`
    is that of the head between the two.
    """

    by: Literal["imagenet", "vision"]
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
    features: Literal["edges", "pixels", "imagenet", "vision"]


class Autoencoder(Section):
    """Where the autoencoder comes from, its training, and its size where it is made here.

    `pretrained` is a folder in diffusers' layout or the name of one on a hub.
    """

    pretrained: Text | None
    download: bool
    finetune: Literal["none", "decoder", "all"]
    enlarge: Literal[1, 2, 4]
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
    perceptual: Literal["vision", "imagenet", "lpips"]
    kl_weight: NonNegative
    alignment: Literal["none", "manifold", "features"]
    manifold_weight: NonNegative
    manifold_neighbours: Count
    align: Align
    vision: Vision
    shift: Annotated[float, Field(ge=0, le=0.5)]
    flip: bool
    holdout: Annotated[float, Field(ge=0, le=0.5)]
    lpips: Text | None
    midpoints: Midpoints

    @property
    def trains(self) -> bool:
        """Return whether anything is trained."""
        return self.pretrained is None or self.finetune != "none"

    def latent_side(self, resolution: int, factor: int, why: str) -> int:
        """Return the side of the latent of an image of `resolution`, shrunk `factor` times.

        Raises:
            ValueError: it cannot be shrunk so; `why` says what needs it.
        """
        if resolution * self.enlarge % factor:
            enlarged = f", enlarged {self.enlarge} times" if self.enlarge > 1 else ""
            raise ValueError(
                f"prepare.resolution = {resolution}{enlarged}: not divisible by {factor}, {why};"
                " change the one or the other"
            )
        return resolution * self.enlarge // factor

    def sees(self, network: Literal["imagenet", "vision", "lpips"]) -> bool:
        """Return whether training looks through a frozen network."""
        aligned = self.alignment == "features" and self.align.by == network
        compared = self.feature_weight > 0 and self.perceptual == network
        return self.trains and (aligned or compared)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        """Check that what is to be fitted exists, and that what is asked of latents can move."""
        if self.finetune != "none" and self.pretrained is None:
            raise ValueError(
                f"autoencoder.finetune = {self.finetune}: there is nothing to begin with; name an"
                " autoencoder in autoencoder.pretrained, or set none"
            )
        if self.finetune == "decoder" and self.alignment != "none":
            raise ValueError(
                f"autoencoder.alignment = {self.alignment}: a decoder does not move latents; set"
                " none, or autoencoder.finetune: all"
            )
        if self.feature_weight and self.perceptual == "lpips" and self.lpips is None:
            raise ValueError(
                "autoencoder.perceptual = lpips: needs its weights; name their file in"
                " autoencoder.lpips"
            )
        return self


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
