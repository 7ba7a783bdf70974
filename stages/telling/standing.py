"""Where a run is: which stage of how many, and how long the rest takes. For people, not for DVC."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psutil
from ruamel.yaml import YAMLError

from lirf.params import Params
from stages.telling import pace, plan

RUNS = {"repro", "exp"}
"""The commands of DVC that run stages."""

ALONE = {"-s", "--single-item"}
"""Their option that leaves alone what a stage depends on."""

UNITS = [(90.0, 1.0, "s"), (5400.0, 60.0, "min"), (float("inf"), 3600.0, "h")]
"""Up to how many seconds one is used, how many it has, and its name."""


@dataclass(frozen=True)
class Standing:
    """Where a run is when one of its stages begins.

    Attributes:
        stage: as in `dvc.yaml`.
        number, total: of the stages that the run is about, those that it finds done among them.
        own: seconds that the stage takes, None where that is not known.
        rest: seconds that all after it take, None where that is not known.
        begun: when the run began, in seconds since the epoch.
    """

    stage: str
    number: int
    total: int
    own: float | None
    rest: float | None
    begun: float

    def line(self, parts: Sequence[str] = (), left: float | None = None) -> str:
        """Say where the run is: `stage 7 of 38 · train r02 · <parts> · 14 min left of 41`.

        `left` is how many seconds the stage still takes, where the stage itself knows better.
        """
        said = [f"stage {self.number} of {self.total}", label(self.stage), *parts]
        left = self.own if left is None else left
        if left is not None and self.rest is not None:
            whole = left + self.rest
            said.append(remaining(whole, time.time() - self.begun + whole))
        elif left is not None:
            said.append(f"{remaining(left)} in this stage")
        return " · ".join(said)


def share(done: int, total: int, said: str) -> list[str]:
    """Return the parts of a line on work that is so far done: `61%`, and what is said of it."""
    return [f"{done / max(total, 1):.0%}", *filter(None, [said])]


def label(stage: str) -> str:
    """Return a stage's name as people read it."""
    return stage.replace("@", " ")


def remaining(left: float, whole: float | None = None) -> str:
    """Say how much of a time is left, in the unit of the whole: `14 min left of 41`."""
    most = left if whole is None else whole
    unit, name = next((unit, name) for limit, unit, name in UNITS if most < limit)
    of = "" if whole is None else f" of {_count(whole / unit, unit)}"
    return f"{_count(left / unit, unit)} {name} left{of}"


def _count(value: float, unit: float) -> str:
    """Write a number of hours with a decimal, of others without."""
    if unit == 3600:
        return f"{value:.1f}"
    return "<1" if 0 < value < 0.5 else f"{value:.0f}"


def here(params: Params | None) -> Standing | None:
    """Return where the run is of which DVC has started this process as a stage, else None.

    None too where it is a study's stage, or a file is not as expected: what is shown must not end
    what is run.
    """
    stage = os.environ.get("DVC_STAGE", "")
    try:
        stages = plan.read()
        graph = plan.needs(stages)
        if stage not in stages:
            return None
        line, begun = _command()
        wanted = about(line, graph)
        left = (plan.left(stages, graph) | {stage}) & wanted
    except (AttributeError, LookupError, OSError, TypeError, ValueError, YAMLError):
        return None
    place = stage, len(wanted) - len(left) + 1, len(wanted)
    known = pace.read()
    if params is None or known is None:
        return Standing(*place, None, None, begun)
    seconds = known.seconds(params, left)
    own = seconds.pop(stage)
    return Standing(*place, own, sum(seconds.values()), begun)


def _command() -> tuple[list[str], float]:
    """Return the command of DVC that runs this process, and when it began; else () and now."""
    try:
        for process in psutil.Process().parents():
            line = process.cmdline()
            if not RUNS.isdisjoint(line):
                return line, process.create_time()
    except psutil.Error:
        pass
    return [], time.time()


def about(line: Iterable[str], graph: dict[str, set[str]]) -> set[str]:
    """Return the stages that a command of DVC is about: those that it names, or all."""
    words = set(line)
    named = {name for name in graph if not words.isdisjoint({name, name.partition("@")[0]})}
    if not named:
        return set(graph)
    return named if words & ALONE else plan.upstream(named, graph)
