"""A training that can be cut at any step: its checkpoints in the scratch, and its loss curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from lirf.report import tables
from stages.support import scratch

CURVE_ROWS = 500
"""Most rows of a loss curve."""

SAID_STEPS = 25
"""Over which a loss is averaged that is told."""

CURVE = "curve.npy"
"""Of a checkpoint, beside the state."""

State = TypeVar("State")

Losses = dict[str, float]
"""The losses of a step by name."""

Curve = list[Losses]
"""Those of every step so far."""


@dataclass
class Resumable(Generic[State]):
    """A training under way, whose checkpoints lie in the scratch folder `folder`.

    Attributes:
        state: of the training, after the steps of `curve`.
        steps: how many there are to be.
        every: how many lie between two checkpoints.
        save: writes a state to a new folder, as `load` of `resume` reads it; None in a process
            that leaves this to another.
        curve: the losses of all steps so far.
    """

    folder: Path
    state: State
    steps: int
    every: int
    save: Callable[[State, Path], None] | None
    curve: Curve = field(default_factory=list)

    def loss(self) -> str:
        """Say what the first of the losses is, on average over the last steps: `loss 0.42`."""
        last = self.curve[-SAID_STEPS:]
        if not last:
            return ""
        name = next(iter(last[0]))
        return f"{name} {np.mean([losses[name] for losses in last]):.3g}"

    def resume(self, load: Callable[[Path], State]) -> None:
        """Go on from the last checkpoint that can be read, if there is one."""
        found = scratch.resume(self.folder, lambda path: (load(path), _read(path / CURVE)))
        if found is not None:
            self.state, self.curve = found

    def run(
        self, advance: Callable[[int], Iterator[Losses]], interrupted: Callable[[], int]
    ) -> Iterator[None]:
        """Take the steps that are left, with a checkpoint at every multiple and at the end.

        `advance` takes so many steps and yields the losses of each. Where it takes fewer, or
        where `interrupted` says so after it, the training ends early.
        """
        while left := self.steps - len(self.curve):
            due = min(self.every - len(self.curve) % self.every, left)
            whole = len(self.curve) + due
            for losses in advance(due):
                self.curve.append(losses)
                yield
            self.keep()
            if len(self.curve) < whole or interrupted():
                return
        self.keep()

    def keep(self) -> None:
        """Write a checkpoint, unless it is there, or another process does."""
        if self.save is None:
            return
        save = self.save

        def write(partial: Path) -> None:
            save(self.state, partial)
            np.save(partial / CURVE, _array(self.curve))

        scratch.keep(self.folder, len(self.curve), write)


def write_curve(path: Path, curve: Curve, names: Sequence[str], before: int = 0) -> None:
    """Write the steps, which follow the first `before`, and their losses as TSV.

    Means over at most CURVE_ROWS bins, at their last step. `names` are the columns of a curve
    without steps, which has no rows.
    """
    names = list(curve[0]) if curve else names
    rows = []
    if curve:
        losses_SL = np.array([[losses[name] for name in names] for losses in curve], np.float64)
        last = before
        for bin_BL in np.array_split(losses_SL, min(CURVE_ROWS, len(curve))):
            last += len(bin_BL)
            means = (column_B.mean() for column_B in bin_BL.T)
            rows.append({"step": last, **dict(zip(names, means, strict=True))})
    path.write_text(tables.tsv(rows, ["step", *names], tables.short))


def _array(curve: Curve) -> np.ndarray:
    """Return the losses as an array with a field for each, in float32 as they were computed."""
    names = list(curve[0]) if curve else []
    rows = [tuple(losses[name] for name in names) for losses in curve]
    return np.array(rows, np.dtype([(name, np.float32) for name in names]))


def _read(path: Path) -> Curve:
    """Return what `_array` made.

    Raises:
        ValueError, OSError: it is missing or damaged.
    """
    array = np.load(path, allow_pickle=False)
    return [dict(zip(array.dtype.names or (), row, strict=True)) for row in array.tolist()]
