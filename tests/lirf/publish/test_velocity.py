"""The published network is the velocity field of the averaged weights."""

from typing import Literal

import pytest
import torch

from lirf import params
from lirf.publish.velocity import VelocityField
from lirf.store.space import Space
from lirf.training import state as states

SPACE = Space("f00d", (2, 2, 2), (0.5, -1.0), (2.0, 3.0))


@pytest.mark.parametrize("prediction", ["velocity", "data"])
def test_it_is_the_field_that_samples_are_drawn_from(prediction: Literal["velocity", "data"]):
    network = params.MLP(kind="mlp", width=8, depth=1)
    config = params.Initialize(seed=0, prediction=prediction, network=network)
    state = states.initial(config, SPACE, torch.device("cpu"))
    for weight in state.ema.parameters():
        weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    model = VelocityField(state.config, {"prediction": prediction}, SPACE.to_json())
    model.network.load_state_dict(state.ema.state_dict())
    x, t = torch.randn(5, *SPACE.shape), torch.tensor([0.0, 0.3, 0.9, 0.999, 1.0])
    assert torch.equal(model(x, t), state.field(x, t))


def test_it_unscales_as_the_space_does():
    config = {"kind": "mlp", "width": 8, "depth": 1}
    model = VelocityField(config, {"prediction": "velocity"}, SPACE.to_json())
    z = torch.randn(3, *SPACE.shape)
    assert torch.equal(model.unscale(z), SPACE.unscale(z))
