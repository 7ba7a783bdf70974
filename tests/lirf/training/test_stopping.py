"""A look at the collapse of a state: when there is one, and what it sees."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lirf import params
from lirf.store.space import Space
from lirf.training import state as states
from lirf.training import stopping

SPACE = Space("points", (2, 1, 1), (0.0, 0.0), (1.0, 1.0))
LOADED = params.load(Path(__file__).parents[3] / "params.yaml")
ANCHORS = np.random.default_rng(0).standard_normal((6, 2, 1, 1), np.float32)
GROUPS = np.arange(6)


def config(rule: str) -> params.Train:
    stop_on = params.StopOn.model_validate(
        {"rule": rule, "threshold": 0.5, "every": 10, "samples": 32, "path_steps": 20}
    )
    return LOADED.train.model_copy(update={"stop_on": stop_on})


@pytest.fixture
def state() -> states.State:
    network = params.MLP(kind="mlp", width=8, depth=1)
    start = params.Initialize(seed=0, prediction="data", network=network)
    return states.initial(start, SPACE, torch.device("cpu"))


def test_one_that_is_not_asked_for_never_stops(state: states.State):
    state.step = 10
    assert stopping.looker(config("never"), ANCHORS, GROUPS)(state) == -math.inf


def test_it_looks_at_the_multiples_of_its_steps(state: states.State):
    look, seen = stopping.looker(config("collapse"), ANCHORS, GROUPS), []
    for state.step in range(31):
        seen.append(look(state))
    assert [step for step, one in enumerate(seen) if one > -math.inf] == [10, 20, 30]
    assert seen[10] == seen[20]


def test_a_network_that_draws_one_anchor_is_collapsed(state: states.State):
    look, state.step = stopping.looker(config("collapse"), ANCHORS, GROUPS), 10
    spread = look(state)
    state.ema.get_parameter("output.bias").copy_(torch.from_numpy(ANCHORS[2].ravel()))
    assert look(state) == pytest.approx(1, abs=1e-3)
    assert spread < 0.95
