"""The methods of the study: equal steps, what each adds to the points, and the oracle's choice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lirf import params
from lirf.neighbours import search
from lirf.params import MLP, SpiralParams
from lirf.sampling import sampler
from lirf.studies import study

ROOT = Path(__file__).parents[3]
LOADED = params.load_study(
    params.SpiralParams, ROOT / "params.yaml", ROOT / "pipeline" / "studies" / "spiral.yaml"
)
COUNT = 12
seeds = st.integers(0, 2**32 - 1)


def tiny(**change: object) -> SpiralParams:
    sizes = {
        "counts": (COUNT,), "seeds": (0, 1), "samples": 40, "steps": 60,
        "cooldown": 10, "moments": 4, "batch": 8, "rows_each": 5,
        "network": MLP(kind="mlp", width=8, depth=1),
    }  # fmt: skip
    admit = LOADED.spiral.loop.admit.model_copy(update={"quantile": 1.0, "novelty": 0.1})
    loop = LOADED.spiral.loop.model_copy(
        update={"lambdas": (0.9, 0.6), "ratio": 2.0, "admit": admit}
    )
    spiral = LOADED.spiral.model_copy(update={**sizes, "loop": loop, **change})
    sample = LOADED.sample.model_copy(update={"steps": 3})
    return LOADED.model_copy(update={"spiral": spiral, "sample": sample})


@pytest.mark.parametrize("steps", [60, 61, 63])
@pytest.mark.parametrize("published", [False, True])
def test_the_loop_has_the_steps_of_the_others(steps: int, published: bool):
    numbers = study.settings(tiny(steps=steps), 3, published=published)
    assert sum(model.steps for model in numbers.models.values()) == steps
    cooldowns = [model.cooldown for model in numbers.models.values()]
    assert cooldowns == [0] * len(numbers.rounds) + [10], "as the others, over its last steps"
    theirs = numbers.spiral.published if published else numbers.spiral.loop
    rounds = [(round_.after, round_.lambda_) for round_ in numbers.rounds.values()]
    assert rounds == list(zip(["r00", "r01", "r02"][: len(rounds)], theirs.lambdas, strict=True))
    assert {name: model.after for name, model in numbers.models.items()} == (
        {"r01": "r00", "r02": "r01", "r03": "r02", "final": "r03"}
        if published
        else {"r01": "r00", "r02": "r01", "final": "r02"}
    )
    assert (numbers.correct, numbers.admit) == (theirs.correct, theirs.admit)
    assert (numbers.sample.ratio, numbers.train.real_share) == (theirs.ratio, theirs.real_share)


@pytest.mark.parametrize("task", study.TASKS)
def test_a_task_answers_for_its_methods_the_same_each_time(task: str):
    found = study.run(tiny(), task, COUNT, 1)
    names = [study.PLAIN, study.BEST] if task == study.PLAIN else [task]
    assert [one.method for one in found] == names
    assert found[0].row["step"] == 60
    for one in found:
        assert one.row["method"] == one.method
        assert (one.row["count"], one.row["seed"]) == (COUNT, 1)
        assert one.samples.shape == (40, 2)
    again = study.run(tiny(), task, COUNT, 1)[0]
    np.testing.assert_array_equal(found[0].samples, again.samples)
    assert found[0].row == again.row


def test_the_oracle_takes_the_moment_nearest_to_the_truth():
    last, best = study.run(tiny(), study.PLAIN, COUNT, 0)
    assert best.row["step"] in (15, 30, 45, 60)
    assert best.row["transport"] <= last.row["transport"]
    alone = study.run(tiny(moments=1), study.PLAIN, COUNT, 0)
    assert alone[0].row == last.row, "looking at it changes nothing"


@pytest.mark.parametrize("task", study.TASKS)
def test_the_cooldown_changes_every_method(task: str):
    with_it, without = (
        study.run(tiny(cooldown=steps), task, COUNT, 1)[0].samples for steps in (10, 0)
    )
    assert not np.array_equal(with_it, without)


@pytest.mark.parametrize("task", [study.PLAIN, study.LOOP])
def test_a_run_that_diverges_is_named(task: str):
    numbers = tiny(learning_rate=1e30)
    numbers = numbers.model_copy(
        update={"train": numbers.train.model_copy(update={"clip_norm": None})}
    )
    with pytest.raises(ValueError, match=rf"^{task}, 12 points, seed 1: .*step \d+: the loss is"):
        study.run(numbers, task, COUNT, 1)


def test_all_methods_are_asked_with_the_same_noise():
    """Untrained networks answer zero: samples are the noise itself, scaled alike."""
    found = [study.run(tiny(steps=4, learning_rate=1e-12), task, COUNT, 0) for task in study.TASKS]
    for outcomes in found[1:]:
        np.testing.assert_allclose(outcomes[0].samples, found[0][0].samples, atol=1e-4)


@pytest.mark.parametrize("task", [study.LOOP, study.AUGMENTED])
def test_a_stored_outcome_gives_its_field_back(task: str):
    numbers = tiny()
    at = study.ground(numbers, COUNT, 0)
    outcome = study.run(numbers, task, COUNT, 0)[0]
    noise = sampler.seeds(at.seed, study.NOISE, len(at.truth))
    velocity = study.field(numbers, at, outcome)
    batches = sampler.sample(velocity, noise, study.SHAPE, numbers.sample, study.CPU)
    samples_MCHW = at.space.unscale(torch.cat(list(batches)).numpy())
    np.testing.assert_array_equal(samples_MCHW.reshape(-1, 2), outcome.samples)


@given(seeds, st.floats(0.05, 1))
def test_jitter_has_its_reach(seed: int, reach: float):
    points = np.random.default_rng(seed).standard_normal((8, 2)).astype(np.float32)
    made = study.jitter(points, reach, 500, seed)
    sigma = reach * search.spacing(points, np.arange(8))
    assert made.dtype == np.float32
    assert (made - np.repeat(points, 500, axis=0)).std() == pytest.approx(sigma, rel=0.1)


@given(seeds, st.integers(1, 3))
def test_mixtures_lie_between_a_row_and_one_of_its_nearest(seed: int, nearest: int):
    points = np.random.default_rng(seed).standard_normal((8, 2)).astype(np.float32)
    made = study.mixup(points, nearest, 20, seed).reshape(8, 20, 2)
    found, _ = search.nearest(points, points, nearest, "euclidean", exclude_self=True)
    for one, others, mixtures in zip(points, found, made, strict=True):
        detour = [
            np.linalg.norm(mixtures - one, axis=1)
            + np.linalg.norm(mixtures - points[other], axis=1)
            - np.linalg.norm(points[other] - one)
            for other in others
        ]
        np.testing.assert_allclose(np.min(detour, axis=0), 0, atol=1e-5)


@given(seeds)
def test_the_label_says_what_was_done(seed: int):
    points = np.random.default_rng(seed).standard_normal((6, 2))
    moved, label = study.augment(points, 0.5, 0.2, 0.3, 4, seed)
    cosine, sine, log, shift = 1 + label[:, 0], label[:, 1], label[:, 2], label[:, 3:]
    turn = np.array([[cosine, -sine], [sine, cosine]]).transpose(2, 0, 1)
    again = np.exp(log)[:, None] * np.einsum("aij,aj->ai", turn, points.repeat(4, axis=0)) + shift
    np.testing.assert_allclose(moved, again, atol=1e-12)
    still, nothing = study.augment(points, 0, 0, 0, 4, seed)
    np.testing.assert_allclose(still, points.repeat(4, axis=0))
    assert not nothing.any()
