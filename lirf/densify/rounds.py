"""The whole loop in memory: what the stages do from round to round, without their files.

    numbers = params.load(Path("params.yaml"))
    start = state.initial(numbers.initialize, space, torch.device("cpu"))
    for turn in rounds.refine(start, rounds.begin(latents_NCHW, space), numbers):
        print(turn.name, len(turn.bank.latents))

A round is `densify`, by the functions that the stages call: on the same machine it gives the same
bits as they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from lirf.densify import admission, correction, merging, naming
from lirf.densify.admission import Admission
from lirf.params import BANK_ZERO, Params
from lirf.sampling import sampler
from lirf.store import banks
from lirf.store.banks import Bank
from lirf.store.space import Space
from lirf.store.tables import Table
from lirf.training import model as training
from lirf.training.batches import Augmented
from lirf.training.model import Rows
from lirf.training.state import State


@dataclass(frozen=True)
class Turn:
    """What one round made."""

    name: str
    state: State  # of which the round drew; the next round trains it further
    candidates: Bank
    corrected: Bank
    anchors: Table  # of every real row its displacement, left out of its own neighbours
    admission: Admission
    bank: Bank  # what the next round trains on


def begin(latents_NCHW: np.ndarray, space: Space, group_N: np.ndarray | None = None) -> Bank:
    """Return the bank of real latents alone, by default each of an image of its own."""
    count = len(latents_NCHW)
    columns = {
        "id": [f"train-{place:05d}" for place in range(count)],
        "round": [BANK_ZERO] * count,
        "kind": ["real"] * count,
        "source": [str(group) for group in (range(count) if group_N is None else group_N)],
    }
    return Bank(banks.bank_rows(columns), space, latents_NCHW)


def refine(
    state: State,
    bank: Bank,
    numbers: Params,
    device: torch.device | None = None,
    augmented: Augmented | None = None,
) -> Iterator[Turn]:
    """Densify `bank` by the rounds of `numbers`, and train `state` on the last bank.

    `state` is changed in place: within a turn it is that turn's, and when the iterator ends it is
    the final model's. `augmented` are the rows of `train.augment_share`, without which there is no
    augmentation. A round that admits nothing is no error; its `admission.warning` says why.

    Raises:
        ValueError: a loss or a sample is not finite, or the bank has too few rows for
            `correct.neighbours`; names the round.
    """
    for name in numbers.rounds:
        with _named(name):
            _train(state, bank, numbers, name, augmented)
            turn = densify(state, bank, numbers, name, device)
        yield turn
        bank = turn.bank
    with _named(numbers.final):
        _train(state, bank, numbers, numbers.final, augmented)


def densify(
    state: State, bank: Bank, numbers: Params, name: str, device: torch.device | None = None
) -> Turn:
    """Take round `name` but for its training: draw from `state`, correct, admit, merge.

    Raises:
        ValueError: a sample is not finite, or the bank has too few rows.
    """
    rows = naming.candidates(numbers.sample, name, bank)
    batches = sampler.sample(
        state.field,
        rows["seed"].to_pylist(),
        state.space.shape,
        numbers.sample,
        device or torch.device("cpu"),
    )
    z_MCHW = np.concatenate([z_BCHW.numpy() for z_BCHW in batches])
    drawn = Bank(rows, bank.space, z_MCHW)
    lambda_ = numbers.rounds[name].lambda_
    corrected, anchors = correction.correct(drawn, bank, numbers.correct, lambda_)
    admitted = admission.admit(corrected, anchors, bank, numbers.admit)
    grown = merging.merge(name, admitted.joining, bank)
    return Turn(name, state, drawn, corrected, anchors, admitted, grown)


def _train(
    state: State,
    bank: Bank,
    numbers: Params,
    name: str,
    augmented: Augmented | None,
) -> None:
    """Take the steps of the model `name` on the bank."""
    vars(state).update(vars(training.begin(state, numbers, name)))
    rows = Rows(bank.latents, bank.real, bank.groups, augmented)
    line = numbers.models[name]
    schedule = training.schedule(line, state.step)
    config = training.config(numbers, name)
    for _ in training.train(state, rows, config, line.steps, schedule):
        pass


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the name of a round before its errors."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
