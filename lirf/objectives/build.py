"""Objectives by the tag of their family: the one place that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from lirf.objectives.base import Objective
from lirf.objectives.rectified import Rectified

FAMILIES: dict[str, type[Any]] = {"rectified": Rectified}
UNTAGGED = "rectified"  # the family of documents without a tag


def build(document: Mapping[str, Any]) -> Objective:
    """Return the objective that a document names: its family, the tag `objective`, and its values.

    What else the document holds is not looked at.

    Raises:
        KeyError: the family is unknown, or one of its values is missing.
        ValueError: a value is out of its range.
    """
    family = FAMILIES[document.get("objective", UNTAGGED)]
    return family(**{field.name: document[field.name] for field in fields(family)})


def document(objective: Objective) -> dict[str, Any]:
    """Return what `build` makes `objective` of again, plain JSON."""
    (tag,) = (name for name, family in FAMILIES.items() if isinstance(objective, family))
    return ({} if tag == UNTAGGED else {"objective": tag}) | vars(objective)
