"""How long every stage takes on this machine: guessed from timed steps, mended by what is measured.

`lirf init` and `prepare` time a few steps of each part; every stage that DVC runs to its end then
says how much longer or shorter than guessed stages of its kind are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lirf.params import Params
from lirf.store import files

FILE = Path(".scratch") / "pace.json"
"""In the current folder; DVC does not know it."""

EVALUATIONS = {"euler": 1, "heun": 2, "midpoint": 2, "dopri5": 12}
"""Of the network for an interval; of dopri5 for a whole sample, in `sample.steps`, at a guess."""

VERSIONS = 4
"""Of every training image that samples are held against: itself, mirrored, both decoded."""

SPEED = {
    "device": True,
    "threads": True,
    "prepare": {"resolution", "colour", "flip"},
    "autoencoder": True,
    "initialize": True,
    "train": True,
    "sample": True,
    "evaluate": {"features"},
}
"""The numbers of `params.yaml` that decide how long a step of a part takes."""


@dataclass(frozen=True)
class Costs:
    """Seconds on this machine, each for one: step, image, view, or sample and evaluation."""

    start: float  # of a stage's process
    fit: float  # step of the autoencoder
    view: float  # of an image, before it is encoded
    encode: float
    decode: float
    see: float  # features of an image
    step: float  # of the network
    call: float  # evaluation of the network for a sample


@dataclass(frozen=True)
class Pace:
    """What is known of this machine's speed for a `params.yaml`.

    Attributes:
        key: of the numbers and counts that it is for (`key`).
        costs: as they were timed.
        train, heldout: how many images there are.
        ratios: by a stage's verb, how many times longer than guessed the last one took.
    """

    key: str
    costs: Costs
    train: int
    heldout: int
    ratios: dict[str, float] = field(default_factory=dict)

    def seconds(self, params: Params, stages: Iterable[str]) -> dict[str, float]:
        """Return how many seconds each of `stages` takes, by name as in `dvc.yaml`."""
        return {
            name: self.ratios.get(_verb(name), 1.0) * guess
            for name, guess in self.guesses(params, stages).items()
        }

    def guesses(self, params: Params, stages: Iterable[str]) -> dict[str, float]:
        """Return the same by the timed steps alone."""
        from lirf.autoencoder import aside  # noqa: PLC0415 - nothing that every stage depends on

        costs, real = self.costs, self.train * (2 if params.prepare.flip else 1)
        config, both = params.autoencoder, costs.encode + costs.decode
        looks = aside.LOOKS * aside.count(real, config.holdout) * (both + costs.see)
        calls = params.sample.steps * EVALUATIONS[params.sample.solver] * costs.call
        made, compared = params.evaluate.samples, VERSIONS * self.train
        numbers = params.diagnose
        work = {
            "autoencoder": (config.steps * costs.fit + looks if config.trains else 0.0)
            + (real + self.heldout) * both,
            "encode": (real + self.heldout) * costs.encode
            + real * params.encode.augmentation.views * (costs.view + costs.encode),
            "sample": params.sample.ratio * real * calls,
            "evaluate": made * (calls + costs.decode)
            + 2 * self.train * both
            + (made + self.heldout + compared) * costs.see,
            "diagnose": numbers.samples * numbers.path_steps * costs.call,
        }
        steps = {f"train@{name}": line.steps * costs.step for name, line in params.models.items()}
        return {name: costs.start + steps.get(name, work.get(_verb(name), 0.0)) for name in stages}


def key(params: Params, train: int, heldout: int) -> str:
    """Return a hash of all that timed steps depend on but the machine."""
    text = params.model_dump_json(include=SPEED)  # pyright: ignore - a wider type than it names
    return hashlib.sha256(f"{text} {train} {heldout}".encode()).hexdigest()


def read() -> Pace | None:
    """Return what is known, None where nothing is, or the file is of another version."""
    try:
        document = json.loads(FILE.read_text())
        return Pace(**{**document, "costs": Costs(**document["costs"])})
    except (OSError, ValueError, LookupError, TypeError):
        return None


def write(pace: Pace) -> None:
    """Keep what is known, whole or not at all."""
    FILE.parent.mkdir(exist_ok=True)
    partial = FILE.with_suffix(".partial")
    with files.writing(FILE):
        partial.write_text(json.dumps(asdict(pace), indent=2) + "\n")
        partial.replace(FILE)


def learn(stage: str, seconds: float, params: Params) -> None:
    """Take note of how long a stage took, from the start of its process to its end."""
    if (known := read()) is None:
        return
    guess = known.guesses(params, [stage])[stage]
    known.ratios[_verb(stage)] = seconds / max(guess, 1e-3)
    write(known)


def _verb(stage: str) -> str:
    return stage.partition("@")[0]
