"""The section `initialize`: the untrained velocity network, a tagged union of kinds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lirf.params.base import Count, Section, Seed


class Transformer(Section):
    """A transformer over patches of the latent, conditioned on t by adaptive layer norm."""

    kind: Literal["transformer"]
    patch: Count
    width: Count
    depth: Count
    heads: Count


class MLP(Section):
    """A residual perceptron over the flattened latent, for point data."""

    kind: Literal["mlp"]
    width: Count
    depth: Count


class Initialize(Section):
    """The untrained velocity network."""

    seed: Seed
    prediction: Literal["velocity", "data"]
    network: Annotated[Transformer | MLP, Field(discriminator="kind")]
