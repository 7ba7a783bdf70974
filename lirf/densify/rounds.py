"""The whole loop in memory: what the stages do from round to round, without their files.

    numbers = params.load(Path("params.yaml"))
    start = state.initial(numbers.initialize, space, torch.device("cpu"))
    for turn in rounds.refine(start, rounds.begin(latents_NCHW), numbers):
        print(turn.name, len(turn.bank.latents))

On the same machine it gives the same bits as the stages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from lirf.densify import admission, correction
from lirf.params import Params
from lirf.sampling import sampler, seeds
from lirf.store.space import flat
from lirf.training import loop
from lirf.training import model as training
from lirf.training.batches import Augmented
from lirf.training.model import Rows
from lirf.training.state import State


@dataclass(frozen=True)
class Bank:
    """Scaled latents, which of them are real, and which of those are of one image."""

    latents: np.ndarray  # [N, C, H, W] float32
    real: np.ndarray  # [N] bool
    group: np.ndarray  # [N] int64, the same for an image and its mirrored twin


@dataclass(frozen=True)
class Turn:
    """What one round made."""

    name: str
    state: State  # of which the round drew; the next round trains it further
    candidates: np.ndarray  # [M, C, H, W] float32
    corrected: correction.Correction
    admission: admission.Admission
    bank: Bank  # what the next round trains on


def begin(latents_NCHW: np.ndarray, group_N: np.ndarray | None = None) -> Bank:
    """Return the bank of real latents alone, by default each of an image of its own."""
    group_N = np.arange(len(latents_NCHW)) if group_N is None else group_N
    return Bank(latents_NCHW, np.ones(len(latents_NCHW), bool), group_N)


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
    augmentation. A round that admits nothing is no error;
    `admission.warning` says why.

    Raises:
        ValueError: a loss or a sample is not finite, or the bank has too few rows for
            `correct.neighbours`; names the round.
    """
    device = device or torch.device("cpu")
    for name, round_ in numbers.rounds.items():
        with _named(name):
            _train(state, bank, numbers, name, augmented)
            turn = _turn(name, round_.lambda_, state, bank, numbers, device)
        yield turn
        bank = turn.bank
    with _named(numbers.final):
        _train(state, bank, numbers, numbers.final, augmented)


def merge(bank: Bank, latents_ACHW: np.ndarray) -> Bank:
    """Return the bank with refined latents behind its rows, each a group of its own."""
    count = len(latents_ACHW)
    return Bank(
        np.concatenate([bank.latents, latents_ACHW]),
        np.concatenate([bank.real, np.zeros(count, bool)]),
        np.concatenate([bank.group, bank.group.max() + 1 + np.arange(count)]),
    )


def _turn(
    name: str,
    lambda_: float,
    state: State,
    bank: Bank,
    numbers: Params,
    device: torch.device,
) -> Turn:
    """Sample, correct, admit, merge."""
    count = math.ceil(numbers.sample.ratio * int(bank.real.sum()))
    seeds_M = seeds.seeds(numbers.sample.seed, name, count)
    field = state.field
    batches = sampler.sample(field, seeds_M, state.space.shape, numbers.sample, device)
    z_MCHW = np.concatenate([z_BCHW.numpy() for z_BCHW in batches])
    pulled = correction.correct(
        z_MCHW, bank.latents, bank.real, bank.group, numbers.correct, lambda_
    )
    scales = admission.Scales(lambda_, pulled.anchors, pulled.spacing)
    admitted = admission.admit(
        numbers.admit,
        flat(pulled.latents),
        pulled.displacement,
        pulled.novelty,
        flat(bank.latents),
        bank.real,
        scales,
    )
    grown = merge(bank, admitted.latents.reshape(-1, *state.space.shape))
    return Turn(name, state, z_MCHW, pulled, admitted, grown)


def _train(
    state: State,
    bank: Bank,
    numbers: Params,
    name: str,
    augmented: Augmented | None,
) -> None:
    """Take the steps of the model `name` on the bank."""
    if numbers.train.start == "fresh":
        vars(state).update(vars(training.fresh(state, numbers.initialize.seed, name)))
    rows = Rows(bank.latents, bank.real, bank.group, augmented)
    model = numbers.models[name]
    schedule = loop.cooldown(state.step + model.steps, model.cooldown)
    for _ in training.train(state, rows, numbers.train, model.steps, schedule):
        pass


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the name of a round before its errors."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
