"""The stages of `dvc.yaml`, and which of them are to be run yet by what `dvc.lock` records.

For telling people where a run is. What runs, DVC alone decides: its own index takes seconds to
load, and while a stage runs it cannot say what is changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

GRAPH, LOCK, PARAMS = Path("dvc.yaml"), Path("dvc.lock"), "params.yaml"

SMALL = 1 << 20
"""Bytes of a file that is hashed to see whether it is what it was."""

REFERENCE = re.compile(r"\$\{([^}]+)\}")


@dataclass(frozen=True)
class Stage:
    """A stage as `dvc.yaml` has it, with its references filled in."""

    command: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: Mapping[str, tuple[str, ...]]  # keys by file


Plan = dict[str, Stage]
"""Stages by name."""


def read(numbers: Mapping[str, Any] | None = None) -> Plan:
    """Return the stages of the `dvc.yaml` in the current folder, in its order.

    `numbers` is what `params.yaml` is to hold; None: what it holds.

    Raises:
        AttributeError, LookupError, OSError, TypeError, ValueError: a file is missing, or not what
            DVC wants.
    """
    document = _load(GRAPH)
    context = dict(_load(Path(PARAMS)) if numbers is None else numbers)
    for variables in document.get("vars", ()):
        context |= variables
    found: Plan = {}
    for name, body in document["stages"].items():
        if "foreach" not in body:
            found[name] = _stage(body, context)
            continue
        over = body["foreach"]
        if isinstance(over, str):
            over = _value(REFERENCE.fullmatch(over)[1], context)  # pyright: ignore - else TypeError
        items = over.items() if isinstance(over, dict) else [(str(one), one) for one in over]
        for key, item in items:
            found[f"{name}@{key}"] = _stage(body["do"], context | {"key": key, "item": item})
    return found


def needs(plan: Plan) -> dict[str, set[str]]:
    """Return the stages that each one waits for, upstream first."""
    makers = {out: name for name, stage in plan.items() for out in stage.outs}
    graph = {
        name: {
            maker
            for out, maker in makers.items()
            for dep in stage.deps
            if _overlap(Path(dep), Path(out))
        }
        for name, stage in plan.items()
    }
    return {name: graph[name] for name in TopologicalSorter(graph).static_order()}


def upstream(names: Iterable[str], graph: Mapping[str, set[str]]) -> set[str]:
    """Return `names` and all that they wait for."""
    found, pending = set[str](), [*names]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += graph[name]
    return found


def left(plan: Plan, graph: Mapping[str, set[str]]) -> set[str]:
    """Return the stages that are not as `dvc.lock` records them, and all below those.

    Raises:
        AttributeError, LookupError, OSError, TypeError, ValueError: the file is not what DVC
            writes.
    """
    lock = _load(LOCK).get("stages", {}) if LOCK.exists() else {}
    made = {out["path"]: out["md5"] for one in lock.values() for out in one.get("outs", ())}
    files = {file for stage in plan.values() for file in stage.params}
    documents = {file: _load(Path(file)) for file in files}
    found = set[str]()
    for name, above in graph.items():
        done = name in lock and not above & found
        if not done or not _done(plan[name], lock[name], made, documents):
            found.add(name)
    return found


def _load(path: Path) -> dict[str, Any]:
    return YAML(typ="safe").load(path) or {}


def _stage(body: dict[str, Any], context: Mapping[str, Any]) -> Stage:
    def fill(text: str) -> str:
        return REFERENCE.sub(lambda found: _text(_value(found[1], context)), text)

    params: dict[str, tuple[str, ...]] = {}
    for entry in body.get("params", ()):
        for file, keys in entry.items() if isinstance(entry, dict) else [(PARAMS, [entry])]:
            params[file] = (*params.get(file, ()), *map(fill, keys))
    outs = (out for kind in ("outs", "metrics", "plots") for out in _paths(body.get(kind, ())))
    deps = _paths(body.get("deps", ()))
    return Stage(fill(body["cmd"]), tuple(map(fill, deps)), tuple(map(fill, outs)), params)


def _paths(entries: Iterable[Any]) -> Iterator[str]:
    """Yield the paths of a list whose items may have options."""
    for entry in entries:
        yield from entry if isinstance(entry, dict) else [entry]


def _value(key: str, document: Mapping[str, Any]) -> Any:
    """Return what stands at `a.b.c` in a document."""
    return reduce(lambda part, name: part[name], key.split("."), document)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _overlap(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


def _done(
    stage: Stage,
    recorded: Mapping[str, Any],
    made: Mapping[str, str],
    documents: Mapping[str, Mapping[str, Any]],
) -> bool:
    """Return whether a stage is as it was when DVC ran it, as far as that is quick to see."""
    if stage.command.split() != recorded["cmd"].split():
        return False
    known = recorded.get("params", {})
    for file, keys in stage.params.items():
        if known.get(file) != {key: _value(key, documents[file]) for key in keys}:
            return False
    before = {dep["path"]: dep["md5"] for dep in recorded.get("deps", ())}
    if set(stage.deps) != before.keys() or not all(Path(out).exists() for out in stage.outs):
        return False
    return all(_same(Path(path), made.get(path), hash_) for path, hash_ in before.items())


def _same(path: Path, made: str | None, before: str) -> bool:
    """Return whether what a stage read is what it would read: of folders only as DVC recorded."""
    if made is None and path.is_file() and path.stat().st_size < SMALL:
        made = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()  # DVC's own
    return made is None or made == before
