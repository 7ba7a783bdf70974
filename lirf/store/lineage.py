"""Where latents come from: the rows that each was corrected towards, down to real images.

A bank's rows form a graph without cycles: a refined row has parents in the bank that it was
corrected towards, with weights that sum to 1; a real row has none. Rows are named by their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any


@dataclass(frozen=True)
class Lineage:
    """Parents and weights of N rows, by place; parents stand before their children."""

    parents: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[float, ...], ...]

    def ancestors(self, places: Iterable[int]) -> list[int]:
        """Return `places` and all that they descend from, in the order of the bank."""
        reached, pending = set[int](), list(places)
        while pending:
            place = pending.pop()
            if place not in reached:
                reached.add(place)
                pending += self.parents[place]
        return sorted(reached)

    def shares(self, place: int) -> dict[int, float]:
        """Return the real rows that a row descends from, the greatest share first.

        A share is the sum over all lines of descent of the product of their weights; shares sum
        to 1. A real row descends from itself.
        """
        share = {place: 1.0}
        found = dict[int, float]()
        for row in reversed(self.ancestors([place])):  # children before parents
            if not self.parents[row]:
                found[row] = share[row]
            for parent, weight in zip(self.parents[row], self.weights[row], strict=True):
                share[parent] = share.get(parent, 0.0) + share[row] * weight
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def build(rows: Sequence[Mapping[str, Any]]) -> Lineage:
    """Return the lineage of a bank's rows, each with `id`, `parents` and `weights` or None.

    Raises:
        ValueError: a parent does not stand before its child; names both.
    """
    place = dict[str, int]()
    parents, weights = [], []
    for row in rows:
        for parent in row["parents"] or ():
            if parent not in place:
                raise ValueError(
                    f"{row['id']}: its parent {parent} is not in the bank before it; rerun"
                    " `dvc repro`"
                )
        parents.append(tuple(place[parent] for parent in row["parents"] or ()))
        weights.append(tuple(float(weight) for weight in row["weights"] or ()))
        place[row["id"]] = len(place)
    return Lineage(tuple(parents), tuple(weights))


def first(
    lineage: Lineage, groups: Sequence[Sequence[int]], counts: Sequence[int], most: int
) -> list[list[int]]:
    """Return the first rows of every group, as many as have at most `most` ancestors together.

    `counts` are tried in turn, the greatest first; the last is taken whatever it costs.
    """
    for count in counts[:-1]:
        rows = [list(group[:count]) for group in groups]
        if len(lineage.ancestors(chain(*rows))) <= most:
            return rows
    return [list(group[: counts[-1]]) for group in groups]
