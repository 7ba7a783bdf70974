"""A model trained in pieces is the model trained at once, and both stop on collapse."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lirf import params
from lirf.store.space import Space
from lirf.training import loop, model
from lirf.training import state as states
from lirf.training.model import Hooks, Rows
from lirf.training.state import State

SPACE = Space("points", (2, 1, 1), (0.0, 0.0), (1.0, 1.0))
LOADED = params.load(Path(__file__).parents[3] / "params.yaml")
ROWS = Rows(
    np.random.default_rng(0).standard_normal((6, 2, 1, 1), np.float32),
    np.arange(6) < 4,
    np.arange(6),
)


def config(rule: str = "never", threshold: float = 0.1) -> params.Train:
    stop_on = params.StopOn.model_validate(
        {"rule": rule, "threshold": threshold, "every": 10, "samples": 16, "path_steps": 10}
    )
    change = {"batch": 16, "learning_rate": 1e-2, "ema_decay": 0.9, "stop_on": stop_on}
    return LOADED.train.model_copy(update=change)


def start() -> State:
    network = params.MLP(kind="mlp", width=32, depth=1)
    numbers = params.Initialize(seed=0, prediction="velocity", network=network)
    return states.initial(numbers, SPACE, torch.device("cpu"))


def same(one: State, other: State) -> bool:
    mine, theirs = one.ema.state_dict(), other.ema.state_dict()
    return one.step == other.step and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("rule", ["never", "collapse"])
def test_pieces_are_the_whole(rule: str):
    whole, pieces = start(), start()
    schedule = loop.cooldown(400, 300)
    losses = list(model.train(whole, ROWS, config(rule), 400, schedule))
    found = list[float]()
    while len(found) < 400:
        count = min(73, 400 - len(found))
        taken = list(model.train(pieces, ROWS, config(rule), count, schedule))
        found += taken
        if len(taken) < count:
            break
    assert found == losses
    assert same(whole, pieces)
    assert (len(losses) < 400) == (rule == "collapse")


def test_up_to_where_it_stops_it_is_the_training_without_a_rule():
    told, stopped, plain = list[float](), start(), start()
    hooks = Hooks(stopped=told.append)
    losses = list(model.train(stopped, ROWS, config("collapse"), 400, loop.constant, hooks))
    assert 0 < len(losses) < 400
    assert len(losses) % 10 == 0
    assert told[0] > 0.1
    assert list(model.train(plain, ROWS, config(), len(losses), loop.constant)) == losses
    assert same(stopped, plain)
    assert list(model.train(stopped, ROWS, config("collapse"), 5, loop.constant, hooks)) == []
    assert told == [told[0]] * 2


def test_an_interruption_ends_it_after_a_step():
    state, looks = start(), list[int]()

    def interrupted() -> bool:
        looks.append(state.step)
        return state.step >= 7

    losses = list(model.train(state, ROWS, config(), 50, loop.constant, Hooks(interrupted)))
    assert (len(losses), state.step) == (7, 7)


def test_fresh_models_share_neither_weights_nor_draws():
    found, fresh = start(), LOADED.train.model_copy(update={"start": "fresh"})
    numbers = LOADED.model_copy(update={"train": fresh})
    one, other = (model.begin(found, numbers, name) for name in ("r01", "r02"))
    assert not same(one, other)
    assert same(one, model.begin(other, numbers, "r01"))
    assert not torch.equal(one.generator.get_state(), other.generator.get_state())
    assert model.begin(one, numbers, "baseline") is model.begin(one, LOADED, "r02") is one


def test_a_model_has_its_own_limit_of_times_or_that_of_all():
    limited = LOADED.train.model_copy(update={"refined_t_max": 0.5})
    own = LOADED.models["final"].model_copy(update={"refined_t_max": 0.3})
    models = {**LOADED.models, "final": own}
    numbers = LOADED.model_copy(update={"train": limited, "models": models})
    found = {name: model.config(numbers, name).refined_t_max for name in ("r01", "final")}
    assert found == {"r01": 0.5, "final": 0.3}
    assert model.config(LOADED, "final") is LOADED.train
