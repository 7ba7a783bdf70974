"""The spiral study: methods against collapse on 2-d toy points, at equal steps, beside the truth.

Every method trains one network of the same size for the same number of steps and is asked for the
same number of samples from the same noise. But for the loop, a method is a way to make more rows
of the training points beforehand; the loop has the rows of augmentation too, as in the workflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lirf import params
from lirf.densify import rounds
from lirf.neighbours import search
from lirf.objectives.base import Field
from lirf.params import Initialize, Model, Round, SpiralLoop, SpiralParams
from lirf.sampling import sampler
from lirf.store.space import Space
from lirf.studies import spiral
from lirf.studies.spiral import Spiral
from lirf.training import loop
from lirf.training import state as states
from lirf.training.batches import Augmented
from lirf.training.state import State

CPU = torch.device("cpu")
SHAPE = (2, 1, 1)
LABELS = 5  # cos a - 1, sin a, log of the scale, two shifts
TRUTH_SEED = 2**31  # of the draws that samples are held against; training seeds are smaller

PLAIN, BEST = "plain", "plain, best moment"
AUGMENTED, JITTER, MIXUP = "augmented", "jitter", "mixup"
PUBLISHED, LOOP, TRUTH = "loop, published", "loop", "truth"
TASKS = (PLAIN, AUGMENTED, JITTER, MIXUP, PUBLISHED, LOOP)
TOLD = (AUGMENTED, PUBLISHED, LOOP)  # of augmentation, by labels
NOISE = "study"  # name of the noise that every method is asked with
METHODS = (PLAIN, BEST, AUGMENTED, JITTER, MIXUP, PUBLISHED, LOOP, TRUTH)


@dataclass(frozen=True)
class Ground:
    """What all methods share at one number of points and one seed."""

    curve: Spiral
    train: np.ndarray  # [N, 2] float64, the training points
    truth: np.ndarray  # [M, 2] float64, a draw of the truth
    space: Space  # scales the training points
    seed: int

    @property
    def latents(self) -> np.ndarray:
        """Return the training points as scaled latents [N, 2, 1, 1]."""
        return self.space.scale(raw(self.train))


@dataclass(frozen=True)
class Outcome:
    """A method's final model: its measures, its samples, and its averaged weights."""

    method: str
    row: dict[str, Any]
    samples: np.ndarray  # [M, 2] float64
    weights: Mapping[str, np.ndarray]


def ground(numbers: SpiralParams, count: int, seed: int) -> Ground:
    """Draw the training points and the truth."""
    config = numbers.spiral
    curve = Spiral(config.turns, config.noise)
    train_N2 = curve.points(count, seed)
    space = Space.measure(raw(train_N2), "spiral")
    return Ground(curve, train_N2, curve.points(config.samples, TRUTH_SEED), space, seed)


def run(numbers: SpiralParams, task: str, count: int, seed: int) -> list[Outcome]:
    """Train what `task` needs, and return the outcome of each method that it answers for.

    `PLAIN` answers for `BEST` too: of its `spiral.moments`, equally spaced, the one whose samples
    are nearest to the truth. No one who has training points alone can pick it.

    Raises:
        ValueError: the run diverges; names it.
    """
    try:
        return _run(numbers, task, count, seed)
    except ValueError as error:
        raise ValueError(f"{task}, {count} points, seed {seed}: {error}") from None


def yardstick(numbers: SpiralParams, count: int, seed: int) -> Outcome:
    """Return what a fresh draw of the truth scores in place of samples."""
    at = ground(numbers, count, seed)
    samples_M2 = at.curve.points(len(at.truth), TRUTH_SEED + 1 + seed)
    return Outcome(TRUTH, _row(at, TRUTH, samples_M2, 0, 0), samples_M2, {})


def settings(numbers: SpiralParams, seed: int, *, published: bool = False) -> SpiralParams:
    """Return the numbers of one run: the pipeline's own, but for what section `spiral` says."""
    config = numbers.spiral
    turns = config.published if published else config.loop
    names = [f"r{index:02}" for index in range(1, len(turns.lambdas) + 1)]
    before = dict(zip([*names, numbers.final], [params.BANK_ZERO, *names], strict=True))
    steps = dict(zip(before, shares(config, turns), strict=True))
    cooldown = dict.fromkeys(names, 0) | {numbers.final: config.cooldown}
    rounds = {
        name: Round.model_validate({"after": before[name], "lambda": lambda_})
        for name, lambda_ in zip(names, turns.lambdas, strict=True)
    }
    own = {
        "device": "cpu",
        "initialize": Initialize(seed=seed, prediction="velocity", network=config.network),
        "train": numbers.train.model_copy(
            update={
                "batch": config.batch,
                "learning_rate": config.learning_rate,
                "augment_share": config.augmented.share,
                "real_share": turns.real_share,
            }
        ),
        "sample": numbers.sample.model_copy(update={"seed": seed, "ratio": turns.ratio}),
        "correct": turns.correct,
        "admit": turns.admit,
        "rounds": rounds,
        "models": {
            name: Model(role="loop", after=before[name], steps=steps[name], cooldown=cooldown[name])
            for name in before
        },
    }
    return numbers.model_copy(update=own)


def shares(config: params.Spiral, loop: SpiralLoop) -> list[int]:
    """Return the steps of the models of `loop`: equal ones, and the last one has the rest."""
    rounds = len(loop.lambdas)
    each = config.steps // (rounds + 1)
    return [*[each] * rounds, config.steps - each * rounds]


def jitter(latents_ND: np.ndarray, reach: float, views: int, seed: int) -> np.ndarray:
    """Return `views` of every row with Gaussian noise of `reach` times the rows' spacing."""
    rng = np.random.default_rng(seed)
    sigma = reach * search.spacing(latents_ND, np.arange(len(latents_ND)))
    many_AD = np.repeat(latents_ND, views, axis=0)
    return many_AD + (sigma * rng.standard_normal(many_AD.shape)).astype(np.float32)


def mixup(latents_ND: np.ndarray, nearest: int, views: int, seed: int) -> np.ndarray:
    """Return `views` for every row: at a uniform place on the way to one of its nearest rows."""
    rng = np.random.default_rng(seed)
    found_NK, _ = search.nearest(latents_ND, latents_ND, nearest, "euclidean", True)
    one_A = np.repeat(np.arange(len(latents_ND)), views)
    other_A = found_NK[one_A, rng.integers(nearest, size=len(one_A))]
    share_A1 = rng.random((len(one_A), 1), np.float32)
    return latents_ND[one_A] + share_A1 * (latents_ND[other_A] - latents_ND[one_A])


def augment(
    xy_N2: np.ndarray, rotation: float, scale: float, shift: float, views: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return `views` of every point, rotated about the origin, scaled and shifted, and labels.

    Normal angles, logarithms of scales and shifts, of these standard deviations. A label is zero
    where nothing was done: (cos a - 1, sin a, log of the scale, both shifts), [A, 5].
    """
    rng = np.random.default_rng(seed)
    many_A2 = np.repeat(xy_N2, views, axis=0)
    angle_A, log_A = rng.standard_normal((2, len(many_A2))) * [[rotation], [scale]]
    shift_A2 = shift * rng.standard_normal(many_A2.shape)
    cosine_A, sine_A = np.cos(angle_A), np.sin(angle_A)
    x_A, y_A = many_A2.T
    turned_A2 = np.stack([cosine_A * x_A - sine_A * y_A, sine_A * x_A + cosine_A * y_A], axis=1)
    moved_A2 = np.exp(log_A)[:, None] * turned_A2 + shift_A2
    return moved_A2, np.column_stack([cosine_A - 1, sine_A, log_A, shift_A2])


def field(numbers: SpiralParams, at: Ground, outcome: Outcome) -> Field:
    """Return the velocity field of an outcome's model."""
    state = _initial(settings(numbers, at.seed), at, outcome.method)
    weights = {name: torch.from_numpy(array) for name, array in outcome.weights.items()}
    state.ema.load_state_dict(weights)
    return state.field


def _run(numbers: SpiralParams, task: str, count: int, seed: int) -> list[Outcome]:
    numbers = settings(numbers, seed, published=task == PUBLISHED)
    at = ground(numbers, count, seed)
    state = _initial(numbers, at, task)
    augmented = _versions(numbers, at) if task in TOLD else None
    if task in (LOOP, PUBLISHED):
        bank_rows = count
        bank = rounds.begin(at.latents, at.space)
        for turn in rounds.refine(state, bank, numbers, augmented=augmented):
            bank_rows = len(turn.bank.latents)
        return [_outcome(numbers, at, state, task, bank_rows)]
    if task != PLAIN:
        latents_NCHW = _enlarge(numbers, at, task)
        _train(numbers, state, latents_NCHW, numbers.spiral.steps, augmented)
        return [_outcome(numbers, at, state, task, len(latents_NCHW))]
    moments = []
    for end in np.linspace(0, numbers.spiral.steps, numbers.spiral.moments + 1)[1:].astype(int):
        _train(numbers, state, at.latents, int(end))
        moments.append(_outcome(numbers, at, state, PLAIN, count))
    best = min(moments, key=lambda one: one.row["transport"])
    return [
        moments[-1],
        Outcome(BEST, {**best.row, "method": BEST}, best.samples, best.weights),
    ]


def _versions(numbers: SpiralParams, at: Ground) -> Augmented:
    """Return augmented rows with their labels."""
    config = numbers.spiral
    sizes = (config.augmented.rotation, config.augmented.scale, config.augmented.shift)
    moved_A2, label_AL = augment(at.train, *sizes, config.rows_each, at.seed)
    latents_ACHW = torch.from_numpy(at.space.scale(raw(moved_A2)))
    return Augmented(latents_ACHW, torch.from_numpy(label_AL.astype(np.float32)))


def _enlarge(numbers: SpiralParams, at: Ground, task: str) -> np.ndarray:
    """Return the rows to train on, [N, 2, 1, 1]."""
    config, latents_ND = numbers.spiral, _flat(at.latents, np.float32)
    if task == AUGMENTED:
        return at.latents
    if task == JITTER:
        more_AD = jitter(latents_ND, config.jitter, config.rows_each, at.seed)
    else:
        more_AD = mixup(latents_ND, config.mixup, config.rows_each, at.seed)
    return more_AD.reshape(-1, *SHAPE)


def _initial(numbers: SpiralParams, at: Ground, method: str) -> State:
    return states.initial(numbers.initialize, at.space, CPU, LABELS if method in TOLD else 0)


def _train(
    numbers: SpiralParams,
    state: State,
    latents_NCHW: np.ndarray,
    end: int,
    augmented: Augmented | None = None,
) -> None:
    """Train on, up to step `end` of the method's `spiral.steps`."""
    latents = torch.from_numpy(latents_NCHW)
    schedule = loop.cooldown(numbers.spiral.steps, numbers.spiral.cooldown)
    steps = end - state.step
    for _ in loop.train(state, latents, numbers.train, steps, augmented, schedule=schedule):
        pass


def _outcome(
    numbers: SpiralParams, at: Ground, state: State, method: str, bank_rows: int
) -> Outcome:
    """Draw samples of the averaged weights and measure them."""
    seeds_M = sampler.seeds(at.seed, NOISE, len(at.truth))
    batches = sampler.sample(state.field, seeds_M, SHAPE, numbers.sample, CPU)
    samples_M2 = _flat(at.space.unscale(torch.cat(list(batches)).numpy()))
    weights = {name: tensor.numpy().copy() for name, tensor in state.ema.state_dict().items()}
    row = _row(at, method, samples_M2, state.step, bank_rows)
    return Outcome(method, row, samples_M2, weights)


def _row(
    at: Ground, method: str, samples_M2: np.ndarray, step: int, bank_rows: int
) -> dict[str, Any]:
    return {
        "count": len(at.train),
        "seed": at.seed,
        "method": method,
        "step": step,
        "bank_rows": bank_rows,
        **spiral.measure(at.curve, samples_M2, at.train, at.truth),
    }


def raw(xy_N2: np.ndarray) -> np.ndarray:
    """Return points as unscaled latents, float32."""
    return xy_N2.astype(np.float32).reshape(-1, *SHAPE)


def _flat(latents_NCHW: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """Return latents as points [N, 2]."""
    return latents_NCHW.reshape(-1, 2).astype(dtype)
