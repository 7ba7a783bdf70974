"""All of `params.yaml`, and what no section alone can know."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lirf.params.base import Count, Name, Section
from lirf.params.images import Prepare
from lirf.params.latents import Autoencoder, Encode
from lirf.params.measures import Diagnose, Evaluate, Page, Publish
from lirf.params.networks import Initialize
from lirf.params.rounds import Admit, Correct, Model, Round, Sample
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
        for name, model in self.models.items():
            if model.cooldown > model.steps:
                raise ValueError(
                    f"models.{name}.cooldown = {model.cooldown}: must not exceed its steps,"
                    f" {model.steps}"
                )
        self._check_loop()
        for name in self.baselines:
            self._check_baseline(name)
        return self

    @property
    def final(self) -> str:
        """Return the name of the loop's last model, which no round draws from."""
        return next(n for n, m in self.models.items() if m.role == "loop" and n not in self.rounds)

    @property
    def loop(self) -> tuple[str, ...]:
        """Return the names of the loop's models in order."""
        return (*self.rounds, self.final)

    @property
    def baselines(self) -> tuple[str, ...]:
        """Return the names of the baselines in the order of the file."""
        return tuple(name for name, model in self.models.items() if model.role == "baseline")

    @property
    def baseline(self) -> str | None:
        """Return the first baseline, which the loop is held against; None where there is none."""
        return next(iter(self.baselines), None)

    @property
    def same_steps(self) -> bool:
        """Return whether that baseline claims the loop's own total of steps."""
        return self.baseline is not None and self.models[self.baseline].same_steps_as == "loop"

    def _check_loop(self) -> None:
        """Raise unless rounds follow one another, each with its model, and one model is last."""
        previous = BANK_ZERO
        for name, round_ in self.rounds.items():
            if round_.after != previous:
                raise ValueError(f"rounds.{name}.after = {round_.after}: must be {previous}")
            self._check_line(name, previous, f", as in rounds.{name}")
            previous = name
        others = [n for n, m in self.models.items() if m.role == "loop" and n not in self.rounds]
        if len(others) > 1:
            raise ValueError(
                f"models.{others[0]}: of {' and '.join(others)}, which are no rounds, only one can"
                " be the loop's final model; remove the others, or add them to rounds"
            )
        self._check_line(others[0] if others else "final", previous, ", the last round")

    def _check_line(self, name: str, after: str, why: str) -> None:
        """Raise unless `name` is a model of the loop that starts from `after`."""
        if name not in self.models:
            line = f"{name}: {{role: loop, after: {after}, steps: N, cooldown: 0}}"
            raise ValueError(f"models.{name} is missing; add `{line}`")
        model = self.models[name]
        if model.role != "loop":
            raise ValueError(f"models.{name}.role = {model.role}: must be loop, as of every round")
        if model.after != after:
            raise ValueError(f"models.{name}.after = {model.after}: must be {after}{why}")
        if model.same_steps_as:
            raise ValueError(f"models.{name}.same_steps_as: is of baselines alone; remove it")

    def _check_baseline(self, name: str) -> None:
        """Raise unless a baseline knows no rounds, and is what it claims to be."""
        model = self.models[name]
        if model.after != BANK_ZERO:
            raise ValueError(
                f"models.{name}.after = {model.after}: must be {BANK_ZERO}, a baseline knows no"
                " rounds"
            )
        # With `train.start: fresh` no single model of the loop has taken that many: it is the sum
        # over its models, what all of the loop's training cost, that the baseline equals.
        steps = sum(self.models[one].steps for one in self.loop)
        cooldown = self.models[self.final].cooldown
        if model.same_steps_as and model.steps != steps:
            raise ValueError(
                f"models.{name}.steps = {model.steps}: must equal the loop's own total, {steps}, or"
                " the comparison is not at equal steps; else remove same_steps_as"
            )
        if model.same_steps_as and model.cooldown != cooldown:
            raise ValueError(
                f"models.{name}.cooldown = {model.cooldown}: must equal that of"
                f" models.{self.final}, {cooldown}, or the comparison is not fair; else remove"
                " same_steps_as"
            )
