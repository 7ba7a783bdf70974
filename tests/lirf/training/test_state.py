"""The untrained state depends on its seed alone."""

import torch

from lirf import params
from lirf.objectives.rectified import Rectified
from lirf.store.space import Space
from lirf.training import state as states
from lirf.training.state import State

CPU = torch.device("cpu")
POINTS = Space("points", (2, 1, 1), (0.0, 0.0), (1.0, 1.0))
TRANSFORMER = params.Transformer(kind="transformer", patch=1, width=16, depth=1, heads=2)


def start(seed: int) -> State:
    config = params.Initialize(seed=seed, prediction="data", network=TRANSFORMER)
    return states.initial(config, POINTS, CPU, labels=2)


def assert_same(one: State, other: State) -> None:
    for mine, theirs in ((one.network, other.network), (one.ema, other.ema)):
        found, expected = mine.state_dict(), theirs.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)
    assert all(torch.equal(one.moments[name], other.moments[name]) for name in one.moments)
    assert torch.equal(one.generator.get_state(), other.generator.get_state())
    assert (one.step, one.config, one.objective) == (other.step, other.config, other.objective)


def test_the_start_depends_on_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = start(3)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    assert_same(one, start(3))
    other = start(0).network.state_dict()
    assert not torch.equal(one.network.state_dict()["embed.weight"], other["embed.weight"])


def test_a_state_made_afresh_is_the_initial_state_of_its_seed():
    used = start(0)
    used.step = 3
    torch.rand(5, generator=used.generator)
    for weight in used.ema.parameters():
        weight.add_(1)
    assert_same(states.afresh(used, 7), start(7))
    assert used.step == 3


def test_the_field_is_that_of_the_averaged_weights():
    state = start(0)
    for weight in state.ema.parameters():
        weight.add_(0.1)
    x, t = torch.randn(3, 2, 1, 1), torch.rand(3)
    assert state.objective == Rectified("data")
    expected = (state.ema(x, t) - x) / (1 - t).clamp(min=0.01)[:, None, None, None]
    assert torch.equal(state.field(x, t), expected)
    assert not state.field(x, t).requires_grad
