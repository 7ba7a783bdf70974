"""The method: on a few digits plain training memorises them, and the loop at equal steps does not.

Principal components of handwritten digits stand for latents: training is a matter of seconds, in
memory, and seeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits

from lirf import params
from lirf.densify import rounds
from lirf.densify.rounds import Turn
from lirf.measure.memorised import find_memorised
from lirf.sampling import sampler, seeds
from lirf.store.space import Space
from lirf.training import loop, state
from lirf.training.state import State

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]
COUNT, DIMENSION, STEPS, COOLDOWN, SAMPLES = 8, 3, 2400, 600, 500


@dataclass(frozen=True)
class Found:
    """The samples of both networks, the rows that the loop admitted, and the real ones, [., D].

    And of every round the candidates, what correction made of them, and which of those joined as
    what.
    """

    plain: np.ndarray
    loop: np.ndarray
    admitted: np.ndarray
    real: np.ndarray
    turns: list[Turn]

    def memorised(self, rows_MD: np.ndarray) -> float:
        """Return the share of rows that are memorised real ones."""
        return find_memorised(rows_MD, self.real[None]).share


def numbers() -> params.Params:
    """Return the shipped numbers but for a perceptron, its steps, and two rounds."""
    whole = params.load(ROOT / "params.yaml")
    network = params.MLP(kind="mlp", width=64, depth=2)
    changes = {"batch": 32, "augment_share": 0.0, "learning_rate": 1e-2, "ema_decay": 0.99}
    quarter = STEPS // 4
    sections = {
        "device": "cpu",
        "initialize": params.Initialize(seed=0, prediction="velocity", network=network),
        "train": whole.train.model_copy(update=changes),
        "sample": whole.sample.model_copy(update={"batch": 1024, "steps": 8}),
        "rounds": {
            "r01": params.Round.model_validate({"after": "r00", "lambda": 0.6}),
            "r02": params.Round.model_validate({"after": "r01", "lambda": 0.6}),
        },
        "models": {
            "r01": params.Model(role="loop", after="r00", steps=quarter, cooldown=0),
            "r02": params.Model(role="loop", after="r01", steps=quarter, cooldown=0),
            "final": params.Model(role="loop", after="r02", steps=2 * quarter, cooldown=COOLDOWN),
        },
    }
    return whole.model_copy(update=sections)


def digits() -> tuple[Space, np.ndarray]:
    """Return the space and the scaled latents of the first digits of a shuffled set."""
    pixels_ND, _ = load_digits(return_X_y=True)
    pixels_ND = pixels_ND[np.random.RandomState(0).permutation(len(pixels_ND))] / 16
    centred_ND = pixels_ND - pixels_ND.mean(axis=0)
    _, _, axes_DD = np.linalg.svd(centred_ND, full_matrices=False)
    raw = (centred_ND @ axes_DD[:DIMENSION].T).astype(np.float32)[:COUNT]
    raw_NCHW = raw.reshape(COUNT, DIMENSION, 1, 1)
    space = Space.measure(raw_NCHW, "digits")
    return space, space.scale(raw_NCHW)


def flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, DIMENSION).astype(np.float64)


@pytest.fixture(scope="module")
def found() -> Found:
    config = numbers()
    space, real_NCHW = digits()

    def samples(trained: State) -> np.ndarray:
        drawn = sampler.sample(
            trained.field,
            seeds.seeds(1, "evaluate", SAMPLES),
            space.shape,
            config.sample,
            CPU,
        )
        return flat(np.concatenate([z_BCHW.numpy() for z_BCHW in drawn]))

    plain, refined = (state.initial(config.initialize, space, CPU) for _ in range(2))
    real_N = torch.ones(COUNT, dtype=torch.bool)
    rate = loop.cooldown(STEPS, COOLDOWN)
    latents = torch.from_numpy(real_NCHW)
    for _ in loop.train(plain, latents, config.train, STEPS, None, real_N, rate):
        pass
    turns = list(rounds.refine(refined, rounds.begin(real_NCHW, space), config))
    assert refined.step == plain.step == STEPS
    bank = turns[-1].bank
    admitted = flat(bank.latents[~bank.real])
    return Found(samples(plain), samples(refined), admitted, flat(real_NCHW), turns)


def kept(turn: Turn) -> np.ndarray:
    """Return what joined in a round as it was before it was restored, [., D]."""
    ids = set(turn.admission.joining.rows["id"].to_pylist())
    rows = [id_ in ids for id_ in turn.corrected.rows["id"].to_pylist()]
    return flat(turn.corrected.latents[rows])


def test_plain_training_memorises_and_the_loop_does_not(found: Found) -> None:
    plain, loop = found.memorised(found.plain), found.memorised(found.loop)
    assert plain > 0.5
    assert loop < plain / 2


def test_the_loop_admits_new_rows_of_the_real_ones_spread(found: Found) -> None:
    """New before and after the real ones' spread is restored."""
    assert len(found.admitted) > 5 * COUNT
    apart = cdist(found.real, found.real) + np.diag(np.full(COUNT, np.inf))
    floor = numbers().admit.novelty * np.median(apart.min(axis=1)) - 1e-6
    assert cdist(found.admitted, found.real).min() >= floor
    for turn in found.turns:
        assert cdist(kept(turn), found.real).min() >= floor
    for rows_MD in (found.admitted, found.loop):
        ratio = rows_MD.var(axis=0).sum() / found.real.var(axis=0).sum()
        assert 0.75 < ratio < 1.33


def test_correction_takes_its_share_of_what_stands_off_the_neighbours_plane(found: Found) -> None:
    for turn in found.turns:
        drawn, pulled = flat(turn.candidates.latents), flat(turn.corrected.latents)
        place = {id_: row for row, id_ in enumerate(turn.bank.rows["id"].to_pylist())}
        for z, moved, parents in zip(
            drawn, pulled, turn.corrected.rows["parents"].to_pylist(), strict=True
        ):
            near = flat(turn.bank.latents[[place[id_] for id_ in parents]])
            normal = np.linalg.svd(near - near.mean(axis=0))[2][2]  # of three dimensions, two stay
            off, left = ((x - near.mean(axis=0)) @ normal for x in (z, moved))
            assert left == pytest.approx(0.4 * off, abs=1e-4)  # lambda = 0.6


def test_a_round_refuses_some_and_gives_the_others_back_the_real_ones_spread(found: Found) -> None:
    wanted = np.cov(found.real.T)
    for turn in found.turns:
        joining = flat(turn.admission.joining.latents)
        assert 0 < len(joining) < len(turn.candidates.latents)
        before, after = (
            np.linalg.norm(np.cov(rows_MD.T) - wanted) for rows_MD in (kept(turn), joining)
        )
        assert after < before
