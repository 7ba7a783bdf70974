"""The section `train`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lirf.params.base import Count, Decay, Fraction, NonNegative, Positive, Section, Share


class StopOn(Section):
    """When training ends early: once `lirf.measure.collapse.score` exceeds `threshold`."""

    rule: Literal["never", "collapse"]
    threshold: Annotated[float, Field(ge=0, lt=1)]
    every: Count
    samples: Count
    path_steps: Count


class Train(Section):
    """Optimisation of the velocity field; the number of steps is a line of `models`.

    `start` says what each model of the loop starts from: what the one before learned, or untrained
    weights. A baseline starts untrained either way.
    """

    batch: Count
    accumulate: Count
    precision: Literal["float32", "bfloat16"]
    compile: bool
    processes: Count
    learning_rate: Positive
    betas: Annotated[tuple[Decay, Decay], Field(strict=False)]
    weight_decay: NonNegative
    clip_norm: Positive | None
    ema_decay: Decay
    times: Literal["uniform", "logit-normal"]
    start: Literal["warm", "fresh"]
    augment_share: Fraction
    jitter: NonNegative
    real_share: Fraction | None
    refined_t_max: Share
    checkpoint_every: Count
    stop_on: StopOn

    @model_validator(mode="after")
    def _parts_have_rows(self) -> Self:
        if self.accumulate > self.batch:
            raise ValueError(
                f"train.accumulate = {self.accumulate}: must not exceed train.batch = {self.batch}"
            )
        if self.batch % self.processes:
            raise ValueError(
                f"train.processes = {self.processes}: must divide train.batch = {self.batch}"
            )
        return self
