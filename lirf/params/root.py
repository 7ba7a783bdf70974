"""All of `params.yaml`, and what no section alone can know."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lirf.params.base import Count, Name, Section
from lirf.params.images import Prepare
from lirf.params.latents import Autoencoder, Encode
from lirf.params.measures import Diagnose, Evaluate, Page, Publish
from lirf.params.networks import Initialize
from lirf.params.rounds import Admit, Correct, Model, Round, Sample
from lirf.params.studies import Spiral
from lirf.params.training import Train

BANK_ZERO = "r00"
"""The round before the first: its bank is the encoded training set, its weights are untrained."""


class Params(Section):
    """All of `params.yaml`."""

    device: Literal["auto", "cpu", "cuda"]
    threads: Count
    deterministic: bool
    memory: Annotated[float, Field(ge=0.125, allow_inf_nan=False)]
    prepare: Prepare
    autoencoder: Autoencoder
    encode: Encode
    initialize: Initialize
    train: Train
    sample: Sample
    correct: Correct
    admit: Admit
    evaluate: Evaluate
    diagnose: Diagnose
    page: Page
    publish: Publish
    rounds: Annotated[dict[Name, Round], Field(min_length=1)]
    models: dict[Name, Model]
    spaces: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    spiral: Spiral

    @model_validator(mode="after")
    def _spans_sections(self) -> Self:
        """Check what no section can know: the rounds are a chain, the comparison is fair."""
        if self.evaluate.samples <= self.evaluate.neighbours:
            raise ValueError(
                f"evaluate.samples = {self.evaluate.samples}: must exceed evaluate.neighbours ="
                f" {self.evaluate.neighbours}"
            )
        if self.train.augment_share > 0 and self.encode.augmentation.views == 0:
            raise ValueError(
                f"train.augment_share = {self.train.augment_share}: there are no augmented images;"
                " set encode.augmentation.views to 1 or more, or the share to 0"
            )
        last = self._check_chain()
        for name, after in {"final": last, "baseline": BANK_ZERO}.items():
            if name not in self.models:
                raise ValueError(
                    f"models.{name} is missing; add `{name}: {{after: {after}, steps: N}}`"
                )
            if self.models[name].after != after:
                raise ValueError(
                    f"models.{name}.after = {self.models[name].after}: must be {after}"
                )
        # With `train.start: fresh` no single model of the loop has taken that many: it is the sum
        # over its models, what all of the loop's training cost, that the baseline equals.
        steps = sum(model.steps for name, model in self.models.items() if name != "baseline")
        if self.models["baseline"].steps != steps:
            raise ValueError(
                f"models.baseline.steps = {self.models['baseline'].steps}: must equal the loop's"
                f" own total, {steps}, or the comparison is not at equal steps"
            )
        self._check_cooldown()
        return self

    def _check_cooldown(self) -> None:
        """Raise unless cooldowns fit into their steps, and the comparison is at equal ones."""
        for name, model in self.models.items():
            if model.cooldown > model.steps:
                raise ValueError(
                    f"models.{name}.cooldown = {model.cooldown}: must not exceed its steps,"
                    f" {model.steps}"
                )
        if self.models["baseline"].cooldown != self.models["final"].cooldown:
            raise ValueError(
                f"models.baseline.cooldown = {self.models['baseline'].cooldown}: must equal that of"
                f" models.final, {self.models['final'].cooldown}, or the comparison is not fair"
            )

    def _check_chain(self) -> str:
        """Return the last round's name after checking that the rounds follow one another."""
        previous = BANK_ZERO
        for name, round_ in self.rounds.items():
            if round_.after != previous:
                raise ValueError(f"rounds.{name}.after = {round_.after}: must be {previous}")
            if name not in self.models:
                raise ValueError(_missing(name, previous))
            if self.models[name].after != previous:
                raise ValueError(
                    f"models.{name}.after = {self.models[name].after}: must be {previous},"
                    f" as in rounds.{name}"
                )
            previous = name
        for name in self.models:
            if name not in {*self.rounds, "final", "baseline"}:
                raise ValueError(f"models.{name}: there is no such round; remove the line")
        return previous


def _missing(model: str, after: str) -> str:
    return f"models.{model} is missing; add `{model}: {{after: {after}, steps: N}}`"
