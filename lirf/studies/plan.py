"""The plan of a comparison: methods, data sets and seeds, unrolled to the numbers of every run."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from lirf import params
from lirf.params import Name, Params, Section, Seed
from lirf.report.report import COLUMNS
from lirf.studies.overrides import Overrides, override

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]

METRICS = tuple(column.key for column in COLUMNS if column.key != "bank_rows")


def _known(metric: str) -> str:
    if metric not in METRICS:
        raise ValueError(f"{metric}: no such metric; there are {', '.join(METRICS)}")
    return metric


Metric = Annotated[str, AfterValidator(_known)]
WORTH = {"lower": lambda x: -x, "higher": lambda x: x, "nearer to 1": lambda x: -abs(x - 1)}
"""What is greater where a metric is better."""

ORACLE = "oracle"
"""The method that knows the best moment to stop: the one of a row's `oracle_of`."""


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

    @property
    def on(self) -> list[str]:
        """The one metric."""
        return [self.metric]

    @property
    def words(self) -> str:
        """What is to be reached, in words."""
        start = self.metric
        if self.distance_from is not None:
            start = f"distance of {start} from {self.distance_from:g}"
        start += f" relative to {self.against}" if self.against else ""
        bounds = {"≥": self.at_least, "≤": self.at_most}
        ends = [f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None]
        return f"{start} {' and '.join(ends)}"

    def met(self, means: Sequence[float]) -> tuple[bool, str]:
        """Return whether the judged method's mean, and `against`'s, will do, and the figure."""
        if self.distance_from is not None:
            means = [abs(value - self.distance_from) for value in means]
        figure = ratio(*means) if self.against else means[0]
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= figure <= high, f"{figure:.3g}"


class Contest(Section):
    """A method that the judged one shall be better than, in all of `on` together."""

    against: Word
    on: Annotated[list[Metric], Field(min_length=1)]
    datasets: list[Name] | None = None  # None: all of the headline study

    @property
    def words(self) -> str:
        """What is to be reached, in words."""
        return f"better than {self.against} in {' and '.join(self.on)} together"

    def met(self, means: Sequence[float]) -> tuple[bool, str]:
        """Return whether all is won, and the figures; of each metric there are two means."""
        pairs = list(zip(means[::2], means[1::2], strict=True))
        worth = {column.key: WORTH[column.better] for column in COLUMNS if column.better}
        won = [
            worth[metric](a) > worth[metric](b)
            for metric, (a, b) in zip(self.on, pairs, strict=True)
        ]
        return all(won), ", ".join(f"{own:.3g} to {other:.3g}" for own, other in pairs)


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


@dataclass(frozen=True)
class Entry:
    """A method of a study: its row with one value for each key of the grid."""

    method: str
    label: str
    row: Method
    overrides: Overrides

    @property
    def is_length(self) -> bool:
        """Whether it is only there for the oracle to choose."""
        return self.row.oracle_of is not None and self.method != ORACLE


@dataclass(frozen=True)
class Run:
    """One model to train and measure."""

    study: str
    dataset: str
    method: str
    seed: int
    target: str  # its name among the models
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
            parts = itertools.zip_longest(row.label.split("{}"), words, fillvalue="")
            label = "".join(itertools.chain(*parts))
            overrides = {**row.params, **dict(zip(row.grid, values, strict=True))}
            yield Entry("-".join([name, *words]), label, row, overrides)
        if row.oracle_of:
            label = f"{study.rows[row.oracle_of].label}, stopped at the best held-out"
            oracle = Entry(ORACLE, f"{label} coverage (an oracle)", row, {})
    if oracle:
        yield oracle


def unroll(plan: Plan, base: Mapping[str, Any], name: str) -> Iterator[Run]:
    """Yield the runs of `plan` on top of `base`, the document of a `params.yaml`.

    A data set's overrides come first, then the row's, then the seed. Seeds vary fastest, so that
    neighbouring runs have no stage in common that either must wait for.

    Raises:
        ValueError: one line, begun by `name`: an override that `lirf.params` refuses.
    """
    for title, study in plan.studies.items():
        for entry, dataset, seed in itertools.product(entries(study), study.datasets, study.seeds):
            if entry.method == ORACLE:
                continue
            where = f"{name}: studies.{title}.{entry.method} on {dataset}"
            chosen = plan.datasets[dataset]
            changes = {
                **({"prepare.images": f"images/{dataset}"} if chosen.images else {}),
                **chosen.params,
                **entry.overrides,
                **dict.fromkeys(plan.seed_keys, seed),
            }
            numbers = params.validate(Params, override(base, changes, where), where)
            yield Run(title, dataset, entry.method, seed, entry.row.target, numbers)


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
