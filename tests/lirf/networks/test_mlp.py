"""The perceptron begins with open gates."""

import torch

from lirf.networks.mlp import VelocityMLP


def test_every_layer_counts_from_the_start():
    """The output is zero, but its gradient, once there is one, reaches every layer."""
    built = VelocityMLP((2, 1, 1), width=8, depth=3)
    x, t = torch.randn(4, 2, 1, 1), torch.rand(4)
    assert not built(x, t).any()
    # Not ones: what is normalised sums to zero, and so would do its gradient.
    torch.nn.init.normal_(built.output.weight)
    (built(x, t) * torch.randn(4, 2, 1, 1)).sum().backward()
    for name, weight in built.named_parameters():
        if name.startswith(("expand", "contract")):
            assert weight.grad is not None
            assert bool(weight.grad.any()), name


def test_it_takes_points_of_any_shape():
    built = VelocityMLP((3, 2, 5), width=8, depth=1)
    assert built(torch.randn(4, 3, 2, 5), torch.rand(4)).shape == (4, 3, 2, 5)
