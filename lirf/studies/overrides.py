"""Changes of a `params.yaml`: dotted keys, and the shape of the loop, which writes rounds anew."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lirf import params
from lirf.params import Count, Fraction, Section

Overrides = dict[str, Any]
"""Dotted keys of `params.yaml` (`train.batch`); a value replaces all that stands there."""

LOOP = "loop"
"""Overrides below `loop` are no section of `params.yaml`: they write `rounds` and `models`."""


class Loop(Section):
    """The shape of the loop: steps in all, the number of rounds, their lambda.

    Steps are shared among the rounds and the final model as in params.yaml, or evenly where their
    number changes; what is left over goes to the last; the baseline has them all. With `share`
    there are so many of these steps: a row's, where `steps` is the data set's. `lambda` is one
    number, or the first round's and the last's with even steps between.
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
        _shape(document, params.validate(Loop, shape, f"{where}: {LOOP}"), where)
    return document


def _shape(document: dict[str, Any], loop: Loop, where: str) -> None:
    """Write `rounds` and `models` of `document` anew."""
    rounds, models = list(document["rounds"].values()), document["models"]
    whole = models["baseline"]["steps"]
    total = round(loop.share * (loop.steps or whole))
    count = loop.rounds or len(rounds)
    alike = count == len(rounds)
    steps = [models[name]["steps"] * total // whole for name in document["rounds"]]
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
    after = [params.BANK_ZERO, *names]
    rest = total - sum(steps)
    cooldown = min(rest, models["baseline"].get("cooldown", 0) * total // whole)
    ends = {"final": (after[-1], rest), "baseline": (after[0], total)}
    turn = models[next(iter(document["rounds"]))]
    document["models"] = {
        name: {**turn, "after": before, "steps": own}
        for name, before, own in zip(names, after, steps, strict=False)
    } | {
        name: {**models[name], "after": before, "steps": own, "cooldown": cooldown}
        for name, (before, own) in ends.items()
    }
    document["rounds"] = {
        name: {**rounds[-1], "after": before, "lambda": value}
        for name, before, value in zip(names, after, lambdas, strict=False)
    }
