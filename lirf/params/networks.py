"""The section `initialize`: the untrained velocity network, a tagged union of kinds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lirf.params.base import Count, Section, Seed, Whole


class Transformer(Section):
    """A transformer over patches of the latent, conditioned on t by adaptive layer norm."""

    kind: Literal["transformer"]
    patch: Count
    width: Count
    depth: Count
    heads: Count


class UNet(Section):
    """Residual convolutions on a pyramid of grids, conditioned on t by shift and scale."""

    kind: Literal["unet"]
    patch: Count
    width: Count  # channels of the finest grid; each coarser one has twice as many
    levels: Count  # grids, each of half the side
    depth: Count  # blocks of a grid on the way down, one more on the way up
    attention: Whole  # how many of the coarsest grids attend


class MLP(Section):
    """A residual perceptron over the flattened latent, for point data."""

    kind: Literal["mlp"]
    width: Count
    depth: Count


class Initialize(Section):
    """The untrained velocity network."""

    seed: Seed
    prediction: Literal["velocity", "data"]
    network: Annotated[Transformer | UNet | MLP, Field(discriminator="kind")]
