"""Progress of a stage: a line on a terminal, lines that a program can read elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from tqdm import tqdm

from stages.telling import standing
from stages.telling.standing import Standing

Item = TypeVar("Item")

PREFIX = "progress "
EVERY_S = 1.0


@dataclass
class Run:
    """What a stage's process tells of the whole run.

    Attributes:
        standing: of the run when the stage began; None where DVC did not start it.
        resumed: whether some of the work had been done before.
    """

    standing: Standing | None = None
    resumed: bool = False


run = Run()
"""Of this process, which is one stage."""


def track(
    items: Iterable[Item], total: int, label: str, done: int = 0, said: Callable[[], str] = str
) -> Iterator[Item]:
    """Yield `items` and report on standard error how many of `total` are done.

    `done` were so before; `said` returns what else is to be told, such as the loss.

    On a terminal one line: `stage 7 of 38 · train r02 · 61% · loss 0.42 · 14 min left of 41`;
    elsewhere at most a line a second, and one at the end, with the seconds that are left:
    `progress {"before": 0, "done": 120, "label": "train r02", "left": 31.5, "said": "loss 0.42",
    "total": 400}`.
    """
    run.resumed |= done > 0
    if sys.stderr.isatty():
        yield from _shown(items, total, label, done, said)
        return
    told = {"before": done, "label": label, "total": total}
    begun = reported = time.monotonic()
    now = done
    for item in items:
        now += 1
        yield item
        if time.monotonic() - reported >= EVERY_S and now < total:
            reported = time.monotonic()
            left = (reported - begun) * (total - now) / (now - done)
            _report({**told, "done": now, "left": round(left, 1), "said": said()})
    _report({**told, "done": now, "left": 0.0, "said": said()})


def _shown(
    items: Iterable[Item], total: int, label: str, done: int, said: Callable[[], str]
) -> Iterator[Item]:
    """Yield `items`, and keep a line of text on the terminal up to date."""

    def say(now: int, left: float | None) -> str:
        parts = standing.share(now, total, said())
        if run.standing is not None:
            return run.standing.line(parts, left)
        return " · ".join([label, *parts, *([] if left is None else [standing.remaining(left)])])

    class Line(tqdm):
        @property
        def format_dict(self) -> dict[str, Any]:
            known = super().format_dict
            now, new = known["n"], known["n"] - done
            left = known["elapsed"] * (total - now) / new if new else None
            return {**known, "line": say(now, left)}

    yield from Line(items, total=total, initial=done, bar_format="{line}", dynamic_ncols=True)


def _report(line: dict[str, Any]) -> None:
    print(PREFIX + json.dumps(line, sort_keys=True), file=sys.stderr, flush=True)  # noqa: T201
