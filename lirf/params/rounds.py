"""The sections of a round, and the lines of `rounds` and `models`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lirf.params.base import (
    Count,
    Fraction,
    Name,
    NonNegative,
    Positive,
    Section,
    Seed,
    Share,
    Whole,
)


class Sample(Section):
    """Integration of the velocity field from noise (t = 0) to data (t = 1)."""

    seed: Seed
    ratio: Positive
    solver: Literal["euler", "heun", "midpoint", "dopri5"]
    steps: Count
    atol: Positive
    rtol: Positive
    batch: Count | None
    compile: bool


class Correct(Section):
    """The correction operator C, what it acts on, and the bank rows that it may pull towards.

    `window` is the side of the squares of a latent that are corrected one by one, `reach` how far
    aside the squares may lie that they are corrected towards, both in latent pixels.
    """

    operator: Literal["slerp", "tangent"]
    window: Annotated[int, Field(ge=2)] | None
    reach: Whole
    references: Literal["bank", "real"]
    neighbours: Count
    temperature: Positive
    dimensions: Count

    @model_validator(mode="after")
    def _plane_fits(self) -> Self:
        if self.operator == "tangent" and self.dimensions >= self.neighbours:
            raise ValueError(
                f"correct.dimensions = {self.dimensions}: must be below correct.neighbours ="
                f" {self.neighbours}, which span no more"
            )
        return self


class Admit(Section):
    """Which corrected candidates join the bank; `rule` picks the one threshold in use."""

    rule: Literal["spacing", "quantile", "published"]
    spacing: Positive
    quantile: Fraction
    tau: Positive
    novelty: NonNegative
    share: Share
    restore: Fraction


class Round(Section):
    """One round of densification: the round it follows, and lambda of its correction."""

    after: Name
    lambda_: Annotated[float, Field(alias="lambda", gt=0, le=1)]


class Model(Section):
    """One network to train: its role, the round whose bank and weights it starts from, its steps.

    Over the last `cooldown` of them the learning rate falls to zero. The loop's models are those
    of its rounds, and the final one; a baseline knows no rounds. A baseline may claim
    `same_steps_as: loop`, which is then checked. `refined_t_max` overrides that of `train`.
    """

    role: Literal["loop", "baseline"]
    after: Name
    steps: Count
    cooldown: Whole
    same_steps_as: Literal["loop"] | None = None
    refined_t_max: Share | None = None
