"""The plan of a comparison: methods, data sets and seeds, unrolled to the numbers of every run."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from lirf import params
from lirf.measure.table import JUDGED
from lirf.params import Name, Params, Section, Seed, recipes
from lirf.params.overrides import Overrides, override

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]

METRICS = tuple(metric.key for metric in JUDGED)

PLACE = ("study", "dataset", "method", "seed")
"""What tells the runs of a plan, and the rows of its table, apart."""

ORACLE = "oracle"
"""The method that knows the best moment to stop: the one of a row's `oracle_of`."""


class Dataset(Section):
    """A set of images, and a recipe for its kind whose numbers `params` may change.

    `images`: a folder outside of the project; None: as in `params.yaml`.
    """

    images: str | None = None
    recipe: Word | None = None
    params: Overrides = Field(default_factory=dict)


class Method(Section):
    """A row of a study; with `grid`, a row for every combination of its values.

    `target` is the role of the model that is measured. `label` holds a `{}` for the value of each
    key of `grid`. `oracle_of`: the rows are that method at other lengths, among which the oracle
    chooses by the held-out coverage.
    """

    label: str
    target: Literal["loop", "baseline"] = "loop"
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

    With `distance_from`, means are replaced by how far they are from that number. `heldout` takes
    the same number of held-out images in the samples' place off the mean, or divides the mean by
    it.
    """

    metric: str
    datasets: list[Name] | None = None  # None: all of the headline study
    against: Word | None = None
    distance_from: float | None = None
    heldout: Literal["difference", "ratio"] | None = None
    at_least: float = -math.inf
    at_most: float = math.inf

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.metric not in METRICS:
            known = ", ".join(METRICS)
            raise ValueError(f"metric = {self.metric}: no such metric; there are {known}")
        if math.isinf(self.at_least) and math.isinf(self.at_most):
            raise ValueError(f"the target for {self.metric} needs `at_least` or `at_most`")
        if self.heldout and not self.control:
            raise ValueError(f"the target for {self.metric}: held-out images have no such number")
        if self.heldout and (self.against or self.distance_from is not None):
            raise ValueError(
                f"the target for {self.metric}: `heldout` goes with neither `against` nor"
                " `distance_from`; remove one"
            )
        return self

    @property
    def control(self) -> str:
        """The key of the same number of held-out images; empty where there is none."""
        return next(metric.control for metric in JUDGED if metric.key == self.metric)

    @property
    def words(self) -> str:
        """What is to be reached, in words."""
        whole = self.distance_from is None
        start = self.metric if whole else f"distance of {self.metric} from {self.distance_from:g}"
        start += f" relative to {self.against}" if self.against else ""
        start += {"difference": " less held-out", "ratio": " relative to held-out"}.get(
            self.heldout or "", ""
        )
        bounds = {"≥": self.at_least, "≤": self.at_most}
        ends = [f"{sign} {bound:g}" for sign, bound in bounds.items() if math.isfinite(bound)]
        return f"{start} {' and '.join(ends)}"

    def figure(self, *means: float) -> float:
        """Return what is bounded: of the judged method's mean, and of what it is held against."""
        if self.heldout == "difference":
            return means[0] - means[1]
        if self.distance_from is not None:
            means = tuple(abs(value - self.distance_from) for value in means)
        return ratio(*means) if self.against or self.heldout else means[0]


def ratio(value: float, reference: float) -> float:
    """Return value / reference; 1 where both are zero, infinite where only the latter is."""
    if reference == 0:
        return 1.0 if value == 0 else math.inf
    return value / reference


class Plan(Section):
    """All of a plan. `headline` is the study whose table is shown, the others are ablations."""

    seed_keys: Annotated[list[str], Field(min_length=1)]
    headline: Word
    reference: Word  # the method of the headline study that ratios are to
    judged: Word  # the method of the headline study that the targets are for
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    studies: Annotated[dict[Word, Study], Field(min_length=1)]
    targets: list[Target] = Field(default_factory=list)

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
        for key, method in named.items():
            if method is not None and method not in methods:
                raise ValueError(f"{key} = {method}: no row of study {self.headline}")
        return self


@dataclass(frozen=True)
class Entry:
    """A method of a study: its row with one value for each key of the grid."""

    method: str
    label: str
    row: Method
    overrides: Overrides
    rivals: tuple[str, ...] = ()  # of an oracle: the methods that it chooses among

    @property
    def is_length(self) -> bool:
        """Whether it is only there for the oracle to choose."""
        return self.row.oracle_of is not None and not self.rivals


@dataclass(frozen=True)
class Run:
    """One model to train and measure."""

    study: str
    dataset: str
    method: str
    seed: int
    target: str  # its name among the models
    params: Params

    @property
    def place(self) -> tuple[str, str, str, int]:
        """Its values of PLACE."""
        return self.study, self.dataset, self.method, self.seed

    def __str__(self) -> str:
        """Return its place, for people."""
        return "/".join(map(str, self.place))


def load(path: Path) -> Plan:
    """Read and validate a plan.

    Raises:
        ValueError: one line that names the file, the key, the value and the remedy.
    """
    return params.validate(Plan, params.read(path), str(path))


def entries(study: Study) -> Iterator[Entry]:
    """Yield the methods of `study` in order, an oracle after those that it chooses among."""
    for name, row in study.rows.items():
        lengths = []
        for values in itertools.product(*row.grid.values()):
            words = [_word(value) for value in values]
            overrides = {**row.params, **dict(zip(row.grid, values, strict=True))}
            label = functools.reduce(
                lambda text, word: text.replace("{}", word, 1), words, row.label
            )
            lengths.append("-".join([name, *words]))
            yield Entry(lengths[-1], label, row, overrides)
        if row.oracle_of:
            label = f"{study.rows[row.oracle_of].label}, stopped at the best held-out coverage"
            yield Entry(ORACLE, f"{label} (an oracle)", row, {}, (row.oracle_of, *lengths))


def unroll(plan: Plan, base: Path, name: str) -> Iterator[Run]:
    """Yield the runs of `plan` on top of the `params.yaml` in the folder `base`, and its recipes.

    A data set's recipe comes first, then its overrides, the row's, and the seed. Seeds vary
    fastest, so that neighbouring runs have no stage in common that either must wait for.

    Raises:
        ValueError: one line: there is no such recipe; one begun by `name`: an override that
            `lirf.params` refuses.
    """
    document = params.read(base / "params.yaml")
    named = {one.recipe for one in plan.datasets.values() if one.recipe}
    known = {one: recipes.load(base, one).params for one in named}
    for title, study in plan.studies.items():
        for entry, dataset, seed in itertools.product(entries(study), study.datasets, study.seeds):
            if entry.rivals:
                continue
            where = f"{name}: studies.{title}.{entry.method} on {dataset}"
            chosen = plan.datasets[dataset]
            changes = {
                **({"prepare.images": f"images/{dataset}"} if chosen.images else {}),
                **(known[chosen.recipe] if chosen.recipe else {}),
                **chosen.params,
                **entry.overrides,
                **dict.fromkeys(plan.seed_keys, seed),
            }
            numbers = params.validate(Params, override(document, changes, where), where)
            target = numbers.final if entry.row.target == "loop" else numbers.baseline
            if target is None:
                raise ValueError(f"{where}: models has no baseline; add one to params.yaml")
            yield Run(title, dataset, entry.method, seed, target, numbers)


def _check_rows(name: str, study: Study) -> None:
    """Raise unless labels and names of the rows of `study` tell them apart."""
    for key, row in study.rows.items():
        where = f"studies.{name}.rows.{key}"
        if row.label.count("{}") != len(row.grid):
            raise ValueError(
                f"{where}.label = {row.label!r}: needs a {{}} for each of the {len(row.grid)} keys"
                " of its grid"
            )
        if row.oracle_of is not None and row.oracle_of not in study.rows:
            raise ValueError(f"{where}.oracle_of = {row.oracle_of}: no such row")
    for method, count in Counter(entry.method for entry in entries(study)).items():
        if count > 1:
            raise ValueError(f"studies.{name}: two rows would be called {method}; rename one")


def _word(value: Any) -> str:
    """Write a value of a grid for a name."""
    return "x".join(map(_word, value)) if isinstance(value, list) else str(value)
