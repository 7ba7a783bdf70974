"""Progress of a stage: a bar on a terminal, lines that a program can read elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

PREFIX = "progress "
EVERY_S = 1.0


def track(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    """Yield `items` and report on standard error how many of `total` are done.

    On a terminal a bar; elsewhere at most one line a second, and one at the end:
    `progress {"done": 120, "label": "train r01", "total": 400}`.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=label, dynamic_ncols=True)
        return
    reported = time.monotonic()
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - reported >= EVERY_S and done < total:
            _report(done, total, label)
            reported = time.monotonic()
    _report(done, total, label)


def _report(done: int, total: int, label: str) -> None:
    line = json.dumps({"done": done, "label": label, "total": total})
    print(PREFIX + line, file=sys.stderr, flush=True)  # noqa: T201
