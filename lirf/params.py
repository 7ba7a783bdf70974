"""The numbers of a run: frozen models of `params.yaml`, validated as a whole before any work."""

from __future__ import annotations

import difflib
import io
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.nodes import Node

from lirf.store import files

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]

BANK_ZERO = "r00"
"""The round before the first: its bank is the encoded training set, its weights are untrained."""

DECODED = 64  # images at a time, where how many samples at a time is left open

MOST_BYTES, MOST_NODES, MOST_DEEP = 100_000, 20_000, 100  # of a YAML file


Document = TypeVar("Document", bound=BaseModel)


class Section(BaseModel):
    """A section of `params.yaml`: immutable, strictly typed, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Prepare(Section):
    """Which images, and what is done to them before anything sees them."""

    images: str
    resolution: Annotated[int, Field(ge=8, le=512)]
    colour: Literal["grey", "rgb"]
    flip: bool
    on_bad_image: Literal["fail", "skip"]
    max_megapixels: Positive


class Dino(Section):
    """Alignment to a vision transformer: see `lirf.autoencoder.losses`.

    `weight` is relative to the reconstruction: at 1 both pull equally hard at the latents.
    """

    weight: NonNegative
    margin: Annotated[float, Field(ge=0, lt=1)]
    width: Count


class Vision(Section):
    """A frozen vision transformer of timm's, its weights, and the side of its input in px."""

    model: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.]+$")]
    weights: Annotated[str, StringConstraints(min_length=1)] | None
    resolution: Annotated[int, Field(ge=16, le=1024)]


class Midpoints(Section):
    """Between how many neighbours of every image, and in which features, midpoints are judged."""

    neighbours: Count
    features: Literal["edges", "pixels", "vision"]


class Autoencoder(Section):
    """Where the KL autoencoder comes from; its size and training where it is trained here.

    `pretrained` is a folder in diffusers' layout or the name of one on a hub.
    """

    pretrained: Annotated[str, StringConstraints(min_length=1)] | None
    download: bool
    seed: Seed
    latent_channels: Annotated[int, Field(ge=1, le=16)]
    widths: Annotated[tuple[Count, ...], Field(min_length=1, max_length=6, strict=False)]
    layers_per_block: Count
    steps: Count
    batch: Count
    learning_rate: Positive
    precision: Literal["float32", "bfloat16"]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    checkpoint_every: Count
    reconstruction: Literal["l1", "l2"]
    feature_weight: NonNegative
    kl_weight: NonNegative
    alignment: Literal["none", "manifold", "dino"]
    manifold_weight: NonNegative
    manifold_neighbours: Count
    dino: Dino
    vision: Vision
    shift: Annotated[float, Field(ge=0, le=0.5)]
    midpoints: Midpoints

    @property
    def sees(self) -> bool:
        """Return whether training looks through the vision transformer."""
        return self.pretrained is None and (self.alignment == "dino" or self.feature_weight > 0)


class Augmentation(Section):
    """Random versions of every training image; strengths as in `lirf.images.transforms.draw`."""

    views: Annotated[int, Field(ge=0)]
    seed: Seed
    flip: bool
    shift: Annotated[float, Field(ge=0, le=0.5)]
    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, le=1)]
    anisotropy: Annotated[float, Field(ge=0, le=1)]


class Encode(Section):
    """How many images are encoded at a time, and which versions of them besides the bank's."""

    batch: Count
    augmentation: Augmentation


class Transformer(Section):
    """A transformer over patches of the latent, conditioned on t by adaptive layer norm."""

    kind: Literal["transformer"]
    patch: Count
    width: Count
    depth: Count
    heads: Count


class MLP(Section):
    """A residual perceptron over the flattened latent, for point data."""

    kind: Literal["mlp"]
    width: Count
    depth: Count


class Initialize(Section):
    """The untrained velocity network."""

    seed: Seed
    prediction: Literal["velocity", "data"]
    network: Annotated[Transformer | MLP, Field(discriminator="kind")]


class StopOn(Section):
    """When training ends early: once `lirf.measure.collapse.score` exceeds `threshold`."""

    rule: Literal["never", "collapse"]
    threshold: Annotated[float, Field(ge=0, lt=1)]
    every: Count
    samples: Count
    path_steps: Count


class Train(Section):
    """Optimisation of the velocity field; the number of steps is a line of `models`.

    `start` says what each model of the loop starts from: what the one before learned, or untrained
    weights. The baseline starts untrained either way.
    """

    batch: Count
    accumulate: Count
    precision: Literal["float32", "bfloat16"]
    compile: bool
    processes: Count
    learning_rate: Positive
    betas: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]],
        Field(strict=False),
    ]
    weight_decay: NonNegative
    clip_norm: Positive | None
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    times: Literal["uniform", "logit-normal"]
    start: Literal["warm", "fresh"]
    augment_share: Fraction
    jitter: NonNegative
    real_share: Fraction | None
    checkpoint_every: Count
    stop_on: StopOn

    @model_validator(mode="after")
    def _parts_have_rows(self) -> Self:
        if self.accumulate > self.batch:
            raise ValueError(
                f"train.accumulate = {self.accumulate}: must not exceed train.batch = {self.batch}"
            )
        if self.batch % self.processes:
            raise ValueError(
                f"train.processes = {self.processes}: must divide train.batch = {self.batch}"
            )
        return self


class Sample(Section):
    """Integration of the velocity field from noise (t = 0) to data (t = 1)."""

    seed: Seed
    ratio: Positive
    solver: Literal["euler", "heun", "midpoint", "dopri5"]
    steps: Count
    atol: Positive
    rtol: Positive
    batch: Count | None
    compile: bool

    @property
    def images(self) -> int:
        """Return how many images are decoded at a time: `batch`, or a few, which are larger."""
        return DECODED if self.batch is None else self.batch


class Correct(Section):
    """The correction operator C, and the bank rows that it may pull towards."""

    operator: Literal["slerp", "tangent"]
    references: Literal["bank", "real"]
    neighbours: Count
    temperature: Positive
    dimensions: Count

    @model_validator(mode="after")
    def _plane_fits(self) -> Self:
        if self.operator == "tangent" and self.dimensions >= self.neighbours:
            raise ValueError(
                f"correct.dimensions = {self.dimensions}: must be below correct.neighbours ="
                f" {self.neighbours}, which span no more"
            )
        return self


class Admit(Section):
    """Which corrected candidates join the bank; `rule` picks the one threshold in use."""

    rule: Literal["spacing", "quantile", "published"]
    spacing: Positive
    quantile: Fraction
    tau: Positive
    novelty: NonNegative
    share: Annotated[float, Field(gt=0, le=1)]
    restore: Fraction


class Evaluate(Section):
    """How many fresh samples, of which generator, are compared with the held-out images."""

    generator: Literal["network", "mixup", "memory"]
    mixup_neighbours: Count
    seed: Seed
    samples: Annotated[int, Field(ge=2)]
    features: Literal["pixels", "latents"]
    neighbours: Count


class Diagnose(Section):
    """How many paths are followed in how many steps, and how anchors are binned by density."""

    seed: Seed
    samples: Count
    path_steps: Annotated[int, Field(ge=2)]
    neighbours: Count
    bins: Count


class Publish(Section):
    """What a published model is called, under which licence, and how its images are described."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None
    licence: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    description: Annotated[str, StringConstraints(min_length=1)] | None


class Page(Section):
    """What the report page calls new, and what it calls different from the baseline."""

    memorised: Annotated[float, Field(ge=0, lt=0.5)]
    margin: NonNegative


class PointAugmentation(Section):
    """Share of augmented rows in a batch; standard deviations of what is done to them."""

    share: Fraction
    rotation: NonNegative
    scale: NonNegative
    shift: NonNegative


class PlaneLoop(Section):
    """A loop in the plane: lambda of each round, and the workflow's keys of the same names."""

    lambdas: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1, strict=False)
    ]
    ratio: Positive
    real_share: Fraction | None
    correct: Correct
    admit: Admit


class Spiral(Section):
    """The study in the plane: points, the one network and training of all methods, the methods.

    Over the last `cooldown` of its steps every method's learning rate falls to zero.
    """

    turns: Positive
    noise: Positive
    counts: Annotated[tuple[Annotated[int, Field(ge=5)], ...], Field(min_length=1, strict=False)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, strict=False)]
    samples: Count
    steps: Count
    cooldown: Annotated[int, Field(ge=0)]
    moments: Count
    batch: Count
    learning_rate: Positive
    network: MLP
    rows_each: Count
    augmented: PointAugmentation
    jitter: NonNegative
    mixup: Count
    loop: PlaneLoop
    published: PlaneLoop

    @model_validator(mode="after")
    def _steps_suffice(self) -> Self:
        for name, loop in (("loop", self.loop), ("published", self.published)):
            models = len(loop.lambdas) + 1
            if self.steps < models:
                raise ValueError(
                    f"spiral.steps = {self.steps}: must be at least {models}, one for each model of"
                    f" spiral.{name}"
                )
            if self.cooldown > (last := self.shares(loop)[-1]):
                raise ValueError(
                    f"spiral.cooldown = {self.cooldown}: must not exceed {last}, what spiral.steps"
                    f" leave for the last model of spiral.{name}"
                )
        return self

    def shares(self, loop: PlaneLoop) -> list[int]:
        """Return the steps of the models of `loop`: equal ones, and the last one has the rest."""
        rounds = len(loop.lambdas)
        each = self.steps // (rounds + 1)
        return [*[each] * rounds, self.steps - each * rounds]


class Round(Section):
    """One round of densification: the round it follows, and lambda of its correction."""

    after: Name
    lambda_: Annotated[float, Field(alias="lambda", gt=0, le=1)]


class Model(Section):
    """One network to train: the round whose bank and weights it starts from, optimiser steps.

    Over the last `cooldown` of them the learning rate falls to zero.
    """

    after: Name
    steps: Count
    cooldown: Annotated[int, Field(ge=0)] = 0


class Params(Section):
    """All of `params.yaml`."""

    device: Literal["auto", "cpu", "cuda"]
    threads: Count
    deterministic: bool
    memory: Annotated[float, Field(ge=0.125, allow_inf_nan=False)]
    prepare: Prepare
    autoencoder: Autoencoder
    encode: Encode
    initialize: Initialize
    train: Train
    sample: Sample
    correct: Correct
    admit: Admit
    evaluate: Evaluate
    diagnose: Diagnose
    page: Page
    publish: Publish
    rounds: Annotated[dict[Name, Round], Field(min_length=1)]
    models: dict[Name, Model]
    spaces: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    spiral: Spiral

    @property
    def memory_bytes(self) -> int:
        """Return `memory`, which is in GiB, in bytes."""
        return int(self.memory * 2**30)

    def space(self, name: str) -> Autoencoder:
        """Return the section `autoencoder` with the changes of a line of `spaces`.

        Raises:
            ValueError: one line that names the key, the value and the remedy.
        """
        document = self.autoencoder.model_dump()
        for key, value in self.spaces[name].items():
            nested = isinstance(value, dict) and isinstance(document.get(key), dict)
            document[key] = {**document[key], **value} if nested else value
        return validate(Autoencoder, document, f"spaces.{name}")

    @model_validator(mode="after")
    def _spans_sections(self) -> Self:
        """Check what no section can know: the rounds are a chain, the comparison is fair."""
        if self.evaluate.samples <= self.evaluate.neighbours:
            raise ValueError(
                f"evaluate.samples = {self.evaluate.samples}: must exceed evaluate.neighbours ="
                f" {self.evaluate.neighbours}"
            )
        if self.train.augment_share > 0 and self.encode.augmentation.views == 0:
            raise ValueError(
                f"train.augment_share = {self.train.augment_share}: there are no augmented images;"
                " set encode.augmentation.views to 1 or more, or the share to 0"
            )
        for name in self.spaces:
            self.space(name)
        last = self._check_chain()
        for name, after in {"final": last, "baseline": BANK_ZERO}.items():
            if name not in self.models:
                raise ValueError(
                    f"models.{name} is missing; add `{name}: {{after: {after}, steps: N}}`"
                )
            if self.models[name].after != after:
                raise ValueError(
                    f"models.{name}.after = {self.models[name].after}: must be {after}"
                )
        # With `train.start: fresh` no single model of the loop has taken that many: it is the sum
        # over its models, what all of the loop's training cost, that the baseline equals.
        steps = sum(model.steps for name, model in self.models.items() if name != "baseline")
        if self.models["baseline"].steps != steps:
            raise ValueError(
                f"models.baseline.steps = {self.models['baseline'].steps}: must equal the loop's"
                f" own total, {steps}, or the comparison is not at equal steps"
            )
        self._check_cooldown()
        return self

    def _check_cooldown(self) -> None:
        """Raise unless cooldowns fit into their steps, and the comparison is at equal ones."""
        for name, model in self.models.items():
            if model.cooldown > model.steps:
                raise ValueError(
                    f"models.{name}.cooldown = {model.cooldown}: must not exceed its steps,"
                    f" {model.steps}"
                )
        if self.models["baseline"].cooldown != self.models["final"].cooldown:
            raise ValueError(
                f"models.baseline.cooldown = {self.models['baseline'].cooldown}: must equal that of"
                f" models.final, {self.models['final'].cooldown}, or the comparison is not fair"
            )

    def _check_chain(self) -> str:
        """Return the last round's name after checking that the rounds follow one another."""
        previous = BANK_ZERO
        for name, round_ in self.rounds.items():
            if round_.after != previous:
                raise ValueError(f"rounds.{name}.after = {round_.after}: must be {previous}")
            if name not in self.models:
                raise ValueError(_missing(name, previous))
            if self.models[name].after != previous:
                raise ValueError(
                    f"models.{name}.after = {self.models[name].after}: must be {previous},"
                    f" as in rounds.{name}"
                )
            previous = name
        for name in self.models:
            if name not in {*self.rounds, "final", "baseline"}:
                raise ValueError(f"models.{name}: there is no such round; remove the line")
        return previous


def load(path: Path) -> Params:
    """Read and validate `path`.

    Raises:
        ValueError: one line that names the file, the key, the value and the remedy.
    """
    return validate(Params, read(path), str(path))


def read(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ValueError: one line: the file is missing, not YAML, not a mapping, or larger than any that
            people write, as it stands or with its aliases written out.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; run from the project's folder")
    try:
        content = path.read_bytes()
        if len(content) > MOST_BYTES:
            raise ValueError(f"{len(content)} bytes, at most {MOST_BYTES}")
        _require_shallow(content)
        _require_small(YAML(typ="safe", pure=True).compose(io.BytesIO(content)))
        document = YAML(typ="safe", pure=True).load(io.BytesIO(content))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise ValueError(f"{path}: not valid YAML{where}: {files.plain(problem)}") from None
    except Exception as error:  # the parser lets through whatever it runs into
        reason = files.plain(error) or type(error).__name__
        raise ValueError(f"{path}: not valid YAML: {reason}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path}: must be a mapping of sections, is {type(document).__name__}")
    return document


def validate(model: type[Document], document: Mapping[str, Any], name: str) -> Document:
    """Return `document` as a `model`; errors begin with `name`.

    Raises:
        ValueError: one line that names the key, the value and the remedy.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A mistyped key is both unknown and missing: the former names the remedy.
        first = min(errors, key=lambda one: one["type"] != "extra_forbidden")
        raise ValueError(f"{name}: {files.plain(_explain(model, first))}") from None


def _require_shallow(content: bytes) -> None:
    """Raise ValueError if brackets are open within brackets, on and on.

    The parser's time grows with the square of their number, before its stack ends it.
    """
    depth = 0
    for match in re.finditer(rb"[][{}]", content):
        depth += 1 if match[0] in b"[{" else -1
        if depth > MOST_DEEP:
            raise ValueError(f"brackets more than {MOST_DEEP} deep")


def _require_small(root: Node | None) -> None:
    """Raise ValueError if YAML nodes, with aliases written out, are too many or without an end."""
    sizes: dict[int, int] = {}

    def size(node: Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = MOST_NODES + 1  # of a node within itself
            below = [] if isinstance(node.value, str) else node.value
            children = [one for row in below for one in (row if isinstance(row, tuple) else [row])]
            sizes[id(node)] = 1 + sum(map(size, children))
        return sizes[id(node)]

    if root is not None and size(root) > MOST_NODES:
        raise ValueError(f"more than {MOST_NODES} values, with aliases written out")


def _missing(model: str, after: str) -> str:
    return f"models.{model} is missing; add `{model}: {{after: {after}, steps: N}}`"


def _explain(model: type[BaseModel], error: ErrorDetails) -> str:
    """Turn pydantic's first complaint into one line: key, value, remedy."""
    location = [str(part) for part in error["loc"]]
    key = ".".join(part for part in location if part not in ("[key]", "transformer", "mlp"))
    value = reprlib.repr(error["input"])
    match error["type"]:
        case "value_error":  # ours: it already says everything
            return str(error.get("ctx", {})["error"])
        case "extra_forbidden":
            valid = sorted(_keys(model, error["loc"][:-1]))
            near = difflib.get_close_matches(location[-1], valid, n=1, cutoff=0.0)[0]
            return f"{key}: unknown key; did you mean `{near}`? (valid: {', '.join(valid)})"
        case "missing":
            return f"{key} is missing; add it"
        case "too_short" if location == ["rounds"]:
            return "rounds = {}: there must be at least one; add `r01: {after: r00, lambda: 0.8}`"
        case "union_tag_invalid":
            return f"{key}.kind = {error.get('ctx', {})['tag']!r}: must be transformer or mlp"
        case _:
            message = error["msg"].removeprefix("Input ").removeprefix("String ")
            return f"{key} = {value}: {message}"


def _keys(annotation: Any, location: tuple[int | str, ...]) -> set[str]:
    """Return the keys that are valid at `location` below `annotation`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        if not location:
            return set(fields)
        if location[0] in fields:
            return _keys(fields[str(location[0])].annotation, location[1:])
        kind = annotation.model_fields.get("kind")  # the tag of a union is a step of its own
        if kind is not None and location[0] in get_args(kind.annotation):
            return _keys(annotation, location[1:])
        return set()
    arguments = get_args(annotation)
    if getattr(annotation, "__origin__", None) in (dict, list, tuple):
        return _keys(arguments[-1], location[1:])
    return set[str]().union(*(_keys(argument, location) for argument in arguments))
