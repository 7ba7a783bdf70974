"""The sections of studies beside the workflow, each in a file of its own.

A study also reads `params.yaml`: `lirf.params.load_study` returns both as one.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from lirf.params.base import (
    Count,
    Decay,
    Fraction,
    Name,
    NonNegative,
    Positive,
    Section,
    Seed,
    Share,
    Whole,
)
from lirf.params.networks import MLP
from lirf.params.root import Params
from lirf.params.rounds import Admit, Correct


class Pretrain(Section):
    """The autoencoder that ships: its size, and its training on crops of bundled photographs."""

    seed: Seed
    width: Count
    blocks: Annotated[tuple[Whole, ...], Field(min_length=2, max_length=5, strict=False)]
    latent_channels: Annotated[int, Field(ge=1, le=16)]
    side: Annotated[int, Field(ge=16)]
    steps: Count
    batch: Count
    learning_rate: Positive
    ema_decay: Decay
    feature_weight: NonNegative
    featured: Count
    noise: NonNegative
    shrunk: Fraction
    pull: NonNegative

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.featured > self.batch:
            raise ValueError(
                f"pretrain.featured = {self.featured}: must not exceed pretrain.batch ="
                f" {self.batch}"
            )
        factor = 2 ** (len(self.blocks) - 1)
        if self.side % factor:
            raise ValueError(
                f"pretrain.side = {self.side}: not divisible by {factor}, which"
                f" {len(self.blocks)} pretrain.blocks need"
            )
        return self


class PointAugmentation(Section):
    """Share of augmented rows in a batch; standard deviations of what is done to them."""

    share: Fraction
    rotation: NonNegative
    scale: NonNegative
    shift: NonNegative


class SpiralLoop(Section):
    """A loop of the study: lambda of each round, and the workflow's keys of the same names."""

    lambdas: Annotated[tuple[Share, ...], Field(min_length=1, strict=False)]
    ratio: Positive
    real_share: Fraction | None
    correct: Correct
    admit: Admit


class Spiral(Section):
    """The spiral study: 2-d toy points, the one network and training of all methods, the methods.

    Over the last `cooldown` of its steps every method's learning rate falls to zero.
    """

    turns: Positive
    noise: Positive
    counts: Annotated[tuple[Annotated[int, Field(ge=5)], ...], Field(min_length=1, strict=False)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, strict=False)]
    samples: Count
    steps: Count
    cooldown: Whole
    moments: Count
    batch: Count
    learning_rate: Positive
    network: MLP
    rows_each: Count
    augmented: PointAugmentation
    jitter: NonNegative
    mixup: Count
    loop: SpiralLoop
    published: SpiralLoop

    @model_validator(mode="after")
    def _steps_suffice(self) -> Self:
        for name, loop in (("loop", self.loop), ("published", self.published)):
            models = len(loop.lambdas) + 1
            if self.steps < models:
                raise ValueError(
                    f"spiral.steps = {self.steps}: must be at least {models}, one for each model of"
                    f" spiral.{name}"
                )
            last = self.steps - (models - 1) * (self.steps // models)
            if self.cooldown > last:
                raise ValueError(
                    f"spiral.cooldown = {self.cooldown}: must not exceed {last}, what spiral.steps"
                    f" leave for the last model of spiral.{name}"
                )
        return self


class PretrainParams(Params):
    """`params.yaml`, and the section of the study `pretrain`."""

    pretrain: Pretrain


class SpacesParams(Params):
    """`params.yaml`, and of each latent space what is changed in its section `autoencoder`."""

    spaces: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]


class SpiralParams(Params):
    """`params.yaml`, and the section of the study `spiral`."""

    spiral: Spiral
