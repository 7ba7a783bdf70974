"""Changes of a `params.yaml`: dotted keys, and the shape of the loop, which writes rounds anew."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lirf.params.base import Count, Fraction, Section
from lirf.params.reading import validate
from lirf.params.root import BANK_ZERO, Params

Overrides = dict[str, Any]
"""Dotted keys of `params.yaml` (`train.batch`); a value replaces all that stands there."""

LOOP = "loop"
"""Overrides below `loop` are no section of `params.yaml`: they write `rounds` and `models`."""


class Loop(Section):
    """The shape of the loop: steps in all, the number of rounds, their lambda.

    Steps are shared among the rounds and the final model as in params.yaml, or evenly where their
    number changes; what is left over goes to the last. A baseline's steps grow or shrink alike, so
    that one of as many steps as the loop still has as many. With `share` there are so many of these
    steps: of a row, where `steps` is of the data set. `lambda` is one number, or the first round's
    and the last's with even steps between.
    """

    steps: Count | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    rounds: Count | None = None
    lambda_: Annotated[
        Fraction | Annotated[list[Fraction], Field(min_length=2, max_length=2)] | None,
        Field(alias="lambda"),
    ] = None


def override(base: Mapping[str, Any], changes: Overrides, where: str) -> dict[str, Any]:
    """Return a copy of `base` with `changes`; those below `loop` write `rounds` and `models`.

    Raises:
        ValueError: a key leads through a value that is no mapping, or a loop that cannot be.
    """
    document = copy.deepcopy(dict(base))
    for key, value in changes.items():
        *path, last = key.split(".")
        section = document
        for part in path:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise ValueError(f"{where}: {key}: {part} is no section of params.yaml")
        section[last] = copy.deepcopy(value)
    shape = document.pop(LOOP, None)
    if shape is not None:
        loop = validate(Loop, shape, f"{where}: {LOOP}")
        _shape(document, validate(Params, document, where), loop, where)
    return document


def _shape(document: dict[str, Any], before: Params, loop: Loop, where: str) -> None:
    """Write `rounds` and `models` of `document`, which are those of `before`, anew."""
    models, rounds = document["models"], list(document["rounds"].values())
    whole = sum(before.models[name].steps for name in before.loop)
    total = round(loop.share * (loop.steps or whole))
    count = loop.rounds or len(rounds)
    alike = count == len(rounds)
    steps = [before.models[name].steps * total // whole for name in before.rounds]
    steps = steps if alike else [total // (count + 1)] * count
    if min(steps) == 0:
        raise ValueError(
            f"{where}: loop: {total} steps in all are too few for each of {count + 1} models;"
            " raise loop.steps or loop.share, or lower loop.rounds"
        )
    lambdas = [one["lambda"] for one in rounds]
    if loop.lambda_ is not None or not alike:
        ends = loop.lambda_ or [lambdas[0], lambdas[-1]]
        first, last = ends if isinstance(ends, list) else (ends, ends)
        lambdas = np.linspace(first, last, count).round(6).tolist()
    names = [f"r{number:02d}" for number in range(1, count + 1)]
    after = [BANK_ZERO, *names]
    rest = total - sum(steps)
    others = {name: before.models[name].steps * total // whole for name in before.baselines}
    last = {before.final: {**models[before.final], "after": after[-1], "steps": rest}}
    last |= {name: {**models[name], "steps": own} for name, own in others.items()}
    for name, model in last.items():
        model["cooldown"] = min(rest, before.models[name].cooldown * total // whole)
    turn = models[next(iter(before.rounds))]
    document["models"] = {
        name: {**turn, "after": former, "steps": own}
        for name, former, own in zip(names, after, steps, strict=False)
    } | last
    document["rounds"] = {
        name: {**rounds[-1], "after": former, "lambda": value}
        for name, former, value in zip(names, after, lambdas, strict=False)
    }
