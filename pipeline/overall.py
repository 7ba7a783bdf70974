"""Where a run of the flow is, for several stages at a time: `stages.telling.standing` says it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lirf import params
from pipeline.graph import Stage
from pipeline.stage import Progress
from stages.telling import pace, standing
from stages.telling.standing import Standing


@dataclass
class Overall:
    """How far a run is.

    Attributes:
        total: how many stages the run is about.
        left: those of them that are to be run yet.
        numbers: what is computed, for the pace; None where `params.yaml` is of something else.
    """

    total: int
    left: set[str]
    numbers: params.Params | None
    _begun: float = field(default_factory=time.time)
    _first: int = 0
    _places: dict[str, int] = field(default_factory=dict)
    _shares: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        self._first = self.total - len(self.left)

    def line(self, stage: str, progress: Progress | None = None) -> str:
        """Say where the run is, from the place of a stage that runs.

        `stage 7 of 38 · train r02 · 61% · loss 0.42 · 14 min left of 41`.
        """
        place = self._places.setdefault(stage, self._first + len(self._places) + 1)
        parts, left = [], None
        if progress is not None:
            self._shares[stage] = progress.done / max(progress.total, 1)
            parts = standing.share(progress.done, progress.total, progress.said)
            left = progress.left
        seconds = self._seconds()
        own = seconds.pop(stage, None) if seconds else None
        rest = sum(seconds.values()) if seconds is not None else None
        where = Standing(stage, place, max(place, self.total), own, rest, self._begun)
        return where.line(parts, left)

    def end(self, stage: str) -> None:
        """Take note that a stage has ended."""
        self.left.discard(stage)

    @property
    def done(self) -> str:
        """Say how many stages are done."""
        return f"{self.total - len(self.left)} of {self.total} stages done"

    @property
    def percent(self) -> float:
        """Return how much of the run is done: of its time where that is known, else of stages."""
        seconds = self._seconds()
        if seconds is None:
            return 100 * (self.total - len(self.left)) / max(self.total, 1)
        gone = time.time() - self._begun
        return 100 * gone / max(gone + sum(seconds.values()), 1e-3)

    def _seconds(self) -> dict[str, float] | None:
        """Return how many seconds each stage takes that is left, None where that is not known."""
        known = pace.read()
        if known is None or self.numbers is None:
            return None
        whole = known.seconds(self.numbers, self.left)
        return {name: (1 - self._shares.get(name, 0)) * all_ for name, all_ in whole.items()}


def of(stages: dict[str, Stage], changed: Iterable[str], root: Path) -> Overall:
    """Return where a run of `stages` is that begins: `changed` are run, and all below them."""
    left = set(changed) & stages.keys()
    for name, stage in stages.items():  # upstream first
        if stage.needs & left:
            left.add(name)
    try:
        numbers = params.load(root / "params.yaml")
    except ValueError:
        numbers = None
    return Overall(len(stages), left, numbers)
