"""Every family is an objective: it trains a network, and says what the field is then."""

import pytest
import torch

from lirf.networks.build import build
from lirf.networks.condition import NULL
from lirf.objectives.base import Objective
from lirf.objectives.rectified import Rectified

FAMILIES: list[Objective] = [Rectified("velocity"), Rectified("data")]


@pytest.mark.parametrize("objective", FAMILIES)
def test_a_loss_has_gradients_and_a_field_has_the_shape_of_its_points(objective: Objective):
    network = build({"kind": "mlp", "width": 8, "depth": 1}, (2, 1, 1))
    x0, x1, t = torch.randn(5, 2, 1, 1), torch.randn(5, 2, 1, 1), torch.rand(5)
    loss = objective.loss(network, x0, x1, t, NULL)
    assert loss.shape == ()
    loss.backward()
    assert all(weight.grad is not None for weight in network.parameters())
    assert objective.field(network)(x0, t).shape == x0.shape
