"""The plan of a comparison: methods, data sets and seeds, unrolled to the numbers of every run."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from lirf import params
from lirf.params import Count, Fraction, Name, Params, Section, Seed
from lirf.report.report import COLUMNS

Overrides = dict[str, Any]
"""Dotted keys of `params.yaml` (`train.batch`); a value replaces all that stands there."""

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]

METRICS = tuple(column.key for column in COLUMNS if column.key != "bank_rows")


def _known(metric: str) -> str:
    if metric not in METRICS:
        raise ValueError(f"{metric}: no such metric; there are {', '.join(METRICS)}")
    return metric


Metric = Annotated[str, AfterValidator(_known)]
ORACLE = "oracle"
"""The method that knows the best moment to stop: the one of a row's `oracle_of`."""

LOOP = "loop"
"""Overrides below `loop` are no section of `params.yaml`: they write `rounds` and `models`."""


class Dataset(Section):
    """A set of images. `images`: a folder outside of the project; None: as in `params.yaml`."""

    images: str | None = None
    params: Overrides = Field(default_factory=dict)


class Method(Section):
    """A row of a study; with `grid`, a row for every combination of its values.

    `label` holds a `{}` for the value of each key of `grid`. `oracle_of`: the rows are that
    method at other lengths, among which the oracle chooses by the held-out coverage.
    """

    label: str
    target: Literal["final", "baseline"] = "final"
    params: Overrides = Field(default_factory=dict)
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    oracle_of: Word | None = None


class Study(Section):
    """Methods that are compared with one another, on the same data sets and seeds."""

    title: str
    datasets: Annotated[list[Name], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    rows: Annotated[dict[Word, Method], Field(min_length=1)]


class Target(Section):
    """What the judged method shall reach: a bound on a mean, or on its ratio to `against`'s.

    With `distance_from`, means are replaced by how far they are from that number.
    """

    metric: Metric
    datasets: list[Name] | None = None  # None: all of the headline study
    against: Word | None = None
    distance_from: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"the target for {self.metric} needs `at_least` or `at_most`")
        return self


class Contest(Section):
    """A method that the judged one shall be better than, in all of `on` together."""

    against: Word
    on: Annotated[list[Metric], Field(min_length=1)]


class Plan(Section):
    """All of a plan. `headline` is the study whose table is shown, the others are ablations."""

    seed_keys: Annotated[list[str], Field(min_length=1)]
    headline: Word
    reference: Word  # the method of the headline study that ratios are to
    judged: Word  # the method of the headline study that the targets are for
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    studies: Annotated[dict[Word, Study], Field(min_length=1)]
    targets: list[Target] = Field(default_factory=list)
    contests: list[Contest] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if self.headline not in self.studies:
            raise ValueError(f"headline = {self.headline}: there is no such study")
        for name, study in self.studies.items():
            for dataset in study.datasets:
                if dataset not in self.datasets:
                    raise ValueError(f"studies.{name}.datasets: {dataset}: no such data set")
            _check_rows(name, study)
        methods = {entry.method for entry in entries(self.studies[self.headline])}
        named = {"reference": self.reference, "judged": self.judged}
        named |= {f"targets.{i}.against": t.against for i, t in enumerate(self.targets)}
        named |= {f"contests.{i}.against": c.against for i, c in enumerate(self.contests)}
        for key, method in named.items():
            if method is not None and method not in methods:
                raise ValueError(f"{key} = {method}: no row of study {self.headline}")
        return self


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


@dataclass(frozen=True)
class Entry:
    """A method of a study: one value for each key of its row's grid."""

    method: str
    label: str
    row: Method
    values: tuple[Any, ...] = ()

    @property
    def overrides(self) -> Overrides:
        """The row's overrides and those of the grid."""
        return {**self.row.params, **dict(zip(self.row.grid, self.values, strict=True))}


@dataclass(frozen=True)
class Run:
    """One model to train and measure."""

    study: str
    dataset: str
    method: str
    seed: int
    target: str  # final | baseline
    params: Params


def load(path: Path) -> Plan:
    """Read and validate a plan.

    Raises:
        ValueError: one line that names the file, the key, the value and the remedy.
    """
    return params.validate(Plan, params.read(path), str(path))


def entries(study: Study) -> Iterator[Entry]:
    """Yield the methods of `study` in order, the oracle after the last that it chooses among."""
    oracle = None
    for name, row in study.rows.items():
        if oracle and row.oracle_of is None:
            yield oracle
            oracle = None
        for values in itertools.product(*row.grid.values()):
            words = [_word(value) for value in values]
            yield Entry("-".join([name, *words]), _fill(row.label, words), row, values)
        if row.oracle_of:
            label = f"{study.rows[row.oracle_of].label}, stopped at the best held-out"
            oracle = Entry(ORACLE, f"{label} coverage (an oracle)", row)
    if oracle:
        yield oracle


def unroll(plan: Plan, base: Mapping[str, Any], name: str) -> Iterator[Run]:
    """Yield the runs of `plan` on top of `base`, the document of a `params.yaml`.

    A data set's overrides come first, then the row's, then the seed. Seeds vary fastest, so that
    neighbouring runs have no stage in common that either must wait for.

    Raises:
        ValueError: one line, begun by `name`: an override that `lirf.params` refuses.
    """
    for study_name, study in plan.studies.items():
        for entry in entries(study):
            if entry.method == ORACLE:
                continue
            for dataset, seed in itertools.product(study.datasets, study.seeds):
                where = f"{name}: studies.{study_name}.{entry.method} on {dataset}"
                chosen = plan.datasets[dataset]
                own = {} if chosen.images is None else {"prepare.images": f"images/{dataset}"}
                document = override(
                    base,
                    {
                        **own,
                        **chosen.params,
                        **entry.overrides,
                        **dict.fromkeys(plan.seed_keys, seed),
                    },
                    where,
                )
                numbers = params.validate(Params, document, where)
                yield Run(study_name, dataset, entry.method, seed, entry.row.target, numbers)


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
    before = list(document["rounds"].values())
    count = loop.rounds or len(before)
    whole = document["models"]["baseline"]["steps"]
    total = round(loop.share * (loop.steps or whole))
    if count == len(before):
        steps = [document["models"][name]["steps"] * total // whole for name in document["rounds"]]
    else:
        steps = [total // (count + 1)] * count
    if min(steps) == 0:
        raise ValueError(
            f"{where}: loop: {total} steps in all are too few for each of {count + 1} models;"
            " raise loop.steps or loop.share, or lower loop.rounds"
        )
    if loop.lambda_ is None and count == len(before):
        lambdas = [round_["lambda"] for round_ in before]
    else:
        ends = loop.lambda_ or [before[0]["lambda"], before[-1]["lambda"]]
        first, last = ends if isinstance(ends, list) else (ends, ends)
        lambdas = np.linspace(first, last, count).round(6).tolist()
    names = [params.BANK_ZERO, *(f"r{number:02d}" for number in range(1, count + 1))]
    after = dict(zip(names[1:], names, strict=False))
    document["rounds"] = {
        name: {**before[-1], "after": after[name], "lambda": value}
        for name, value in zip(names[1:], lambdas, strict=True)
    }
    models = {
        name: {"after": after[name], "steps": own}
        for name, own in zip(names[1:], steps, strict=True)
    }
    rest = total - sum(steps)
    cooldown = min(rest, document["models"]["baseline"].get("cooldown", 0) * total // whole)
    models["final"] = {"after": names[-1], "steps": rest, "cooldown": cooldown}
    models["baseline"] = {"after": params.BANK_ZERO, "steps": total, "cooldown": cooldown}
    document["models"] = models


def _check_rows(name: str, study: Study) -> None:
    """Raise unless labels and names of the rows of `study` tell them apart."""
    for key, row in study.rows.items():
        if row.label.count("{}") != len(row.grid):
            raise ValueError(
                f"studies.{name}.rows.{key}.label = {row.label!r}: needs a {{}} for each of the"
                f" {len(row.grid)} keys of its grid"
            )
        if row.oracle_of is not None and row.oracle_of not in study.rows:
            raise ValueError(f"studies.{name}.rows.{key}.oracle_of = {row.oracle_of}: no such row")
    methods = [entry.method for entry in entries(study)]
    for method in methods:
        if methods.count(method) > 1:
            raise ValueError(f"studies.{name}: two rows would be called {method}; rename one")


def _fill(label: str, words: list[str]) -> str:
    for word in words:
        label = label.replace("{}", word, 1)
    return label


def _word(value: Any) -> str:
    """Write a value of a grid for a name."""
    return "x".join(map(_word, value)) if isinstance(value, list) else str(value)
