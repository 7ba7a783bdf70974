"""What a comparison computes: a job a model, known by what the model depends on."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dvc.utils.flatten import flatten, unflatten

from lirf.params import Params
from lirf.studies.plan import PLACE, Run
from pipeline import exchange, graph
from stages.support import code

NEUTRAL = {"lirf/training/parallel.py"}
"""Code that makes no number: how processes start and end."""
EMBEDDED = "embedded"
"""Stands for the fingerprint of images that come with the project."""

DIGITS = 16  # of a fingerprint


@dataclass(frozen=True)
class Subject:
    """What a stage and all before it depend on besides images: code, and keys of params.yaml."""

    code: str
    keys: tuple[str, ...]

    def numbers(self, document: Mapping[str, Any]) -> str:
        """Return the fingerprint of the values that `document` has under these keys."""
        return _fingerprint({key: _value(document, key) for key in self.keys})


@dataclass(frozen=True)
class Job:
    """One model to train and measure, and the rows of the table that it is."""

    params: Params
    folder: Path | None  # with the images; None: the project's own
    identity: Mapping[str, str]  # what a row of the table must have to be of this model
    recorded: str  # `params` of it by the names that params.yaml had when rows were recorded
    runs: list[Run] = field(default_factory=list)

    @property
    def target(self) -> str:
        """The name of the model in `params.yaml`."""
        return self.identity["target"]

    @property
    def name(self) -> str:
        """The name of its folder and log: that of its first row."""
        return "-".join(map(str, self.runs[0].place))

    def rows(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return `result` as the rows that this model is."""
        places = [dict(zip(PLACE, run.place, strict=True)) for run in self.runs]
        return [{**result, **place, **self.identity} for place in places]

    def made(self, row: Mapping[str, Any]) -> bool:
        """Return whether `row` is of this model."""
        return all(row.get(key) == value for key, value in self.identity.items())


def subject(root: Path, stages: Mapping[str, graph.Stage], target: str) -> Subject:
    """Return what `target` and all before it depend on."""
    upstream = graph.select(dict(stages), target, upstream=True).values()
    sources = {path for stage in upstream for path in stage.sources if path.endswith(".py")}
    digests = {path: exchange.digest(root / path) for path in sorted(sources)}
    names = {Path(path).stem for stage in upstream for path in stage.manifests}
    own = [digests, code.fingerprint(*names, root=root, without=NEUTRAL)]
    keys = {key for stage in upstream for key in stage.params}
    if any(key.startswith("rounds.") for key in keys):  # a loop has any number of rounds
        keys |= {"rounds", "models"}
    return Subject(_fingerprint(own), tuple(sorted(keys)))


def make_jobs(
    runs: Iterable[Run],
    subjects: Mapping[str, Subject],
    images: Mapping[str, Path],
    recorded: Mapping[str, Any],
) -> list[Job]:
    """Return a job for every model among `runs`; equal ones of several studies are one.

    Args:
        runs: what is to be in the table.
        subjects: what the evaluation of every target depends on.
        images: the folders of data sets that are no part of the project.
        recorded: by which keys and names of params.yaml rows were recorded. `keys` has a list of
            keys a target, `names` the former name of a key, or None where there was none; in a
            key, `*` stands for any one part.
    """
    digests = {name: exchange.digest(path)[:DIGITS] for name, path in images.items()}
    found: dict[tuple[str, ...], Job] = {}
    for run in runs:
        document = run.params.model_dump(mode="json", by_alias=True)
        own, source = subjects[run.target], digests.get(run.dataset, EMBEDDED)
        numbers = own.numbers(document)
        before = Subject(own.code, tuple(recorded.get("keys", {}).get(run.target, own.keys)))
        job = Job(
            params=run.params,
            folder=images.get(run.dataset),
            identity={
                "target": run.target, "images": source, "params": numbers, "code": own.code
            },
            recorded=before.numbers(_renamed(document, recorded.get("names", {}))),
        )  # fmt: skip
        found.setdefault((run.target, source, numbers), job).runs.append(run)
    return list(found.values())


def _renamed(document: Mapping[str, Any], names: Mapping[str, str | None]) -> dict[str, Any]:
    """Return `document` with the former names of keys, without those that had none."""
    former = {}
    for path, value in flatten(document).items():
        old = next((old for new, old in names.items() if fnmatch(path, new)), path)
        former |= {} if old is None else {old: value}
    return unflatten(former)


def _value(document: Mapping[str, Any], key: str) -> Any:
    """Return what stands under a dotted key, None where nothing does."""

    def below(value: Any, part: str) -> Any:
        return value.get(part) if isinstance(value, dict) else None

    return functools.reduce(below, key.split("."), document)


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGITS]
