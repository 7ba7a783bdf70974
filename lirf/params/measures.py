"""The sections of what is measured, shown and exported: evaluate, diagnose, page, publish."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from lirf.params.base import Count, NonNegative, Section, Seed, Text


class Evaluate(Section):
    """How many fresh samples, of which generator, are compared with the held-out images."""

    generator: Literal["network", "mixup", "memory"]
    mixup_neighbours: Count
    seed: Seed
    samples: Annotated[int, Field(ge=2)]
    features: Literal["pixels", "latents", "imagenet", "vision", "inception"]
    neighbours: Count


class Diagnose(Section):
    """How many paths are followed in how many steps, and how anchors are binned by density."""

    seed: Seed
    samples: Count
    path_steps: Annotated[int, Field(ge=2)]
    neighbours: Count
    bins: Count


class Page(Section):
    """What the report page calls new, and what it calls different from the baseline."""

    memorised: Annotated[float, Field(ge=0, lt=0.5)]
    margin: NonNegative


class Publish(Section):
    """What an exported model is called, under which licence, and how its images are described."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None
    licence: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    description: Text | None
