"""What networks of every kind have in common: shapes, the start at zero, what they are told."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from lirf.networks.build import build
from lirf.networks.condition import Condition

TRANSFORMER = {"kind": "transformer", "patch": 2, "width": 16, "depth": 2, "heads": 2}
UNET = {"kind": "unet", "patch": 1, "width": 16, "levels": 2, "depth": 1, "attention": 1}
PERCEPTRON = {"kind": "mlp", "width": 16, "depth": 2}
NETWORKS = [TRANSFORMER, UNET, PERCEPTRON]
SHAPE = (3, 4, 6)


def randomised(config: dict, shape: tuple[int, ...]) -> torch.nn.Module:
    """Return a network whose every weight matters."""
    torch.manual_seed(0)
    built = build(config, shape)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return built


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 4),
    channels=st.integers(1, 5),
    grid=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    patch=st.integers(1, 3),
    kind=st.sampled_from(["transformer", "unet", "mlp"]),
)
def test_output_has_the_input_s_shape_and_starts_at_zero(batch, channels, grid, patch, kind):
    shape = (channels, grid[0] * patch, grid[1] * patch)
    config = {
        "transformer": {**TRANSFORMER, "patch": patch},
        "unet": {**UNET, "patch": patch, "levels": 1},
        "mlp": PERCEPTRON,
    }[kind]
    x = torch.randn(batch, *shape)
    output = build(config, shape)(x, torch.rand(batch))
    assert output.shape == x.shape
    assert torch.equal(output, torch.zeros_like(x))


@pytest.mark.parametrize("config", NETWORKS)
def test_gradient_reaches_every_parameter(config: dict):
    built = randomised(config, SHAPE)
    built(torch.randn(5, *SHAPE), torch.rand(5)).square().mean().backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("config", NETWORKS)
def test_a_sample_depends_on_its_own_point_and_time_only(config: dict):
    built = randomised(config, SHAPE)
    x, t = torch.randn(4, *SHAPE), torch.tensor([0.0, 0.3, 0.7, 1.0])
    together = built(x, t)
    for index in range(4):
        alone = built(x[index : index + 1], t[index : index + 1])
        assert torch.allclose(together[index : index + 1], alone, atol=1e-5)
    later = built(x, (t + 0.05) / 1.1)
    assert (together - later).abs().amax(dim=(1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize("config", NETWORKS)
def test_a_label_of_zeros_is_no_label_and_no_other_label_is(config: dict):
    built = randomised({**config, "labels": 3}, SHAPE)
    x, t = torch.randn(4, *SHAPE), torch.rand(4)
    assert torch.equal(built(x, t, Condition(torch.zeros(4, 3))), built(x, t))
    label = torch.eye(4, 3)  # the last row has none
    moved = (built(x, t, Condition(label)) - built(x, t)).abs().amax(dim=(1, 2, 3))
    assert moved[:3].min() > 1e-4
    assert moved[3] < 1e-5


@pytest.mark.parametrize("config", NETWORKS)
def test_labels_add_one_parameter_of_zeros_and_change_no_other(config: dict):
    built = []
    for labels in ({}, {"labels": 0}, {"labels": 3}):
        torch.manual_seed(0)
        built.append((build({**config, **labels}, SHAPE).state_dict(), torch.rand(1)))
    (plain, drawn), *others = built
    for parameters, drawn_after in others:
        assert torch.equal(drawn_after, drawn)
        for name, parameter in plain.items():
            assert torch.equal(parameters[name], parameter), name
    assert others[0][0].keys() == plain.keys()
    assert others[1][0].keys() - plain.keys() == {"time.label"}
    assert not others[1][0]["time.label"].any()


@pytest.mark.parametrize("config", NETWORKS)
@pytest.mark.parametrize("labels", [0, 3])
def test_labels_of_another_length_are_refused(config: dict, labels: int):
    built = build({**config, "labels": labels}, SHAPE)
    message = f"^augmentation labels of 2 numbers: this network was built for {labels}; init"
    with pytest.raises(ValueError, match=message):
        built(torch.zeros(1, *SHAPE), torch.zeros(1), Condition(torch.ones(1, 2)))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"heads": 3}, "heads"),
        ({"width": 18, "heads": 2}, "width"),
        ({"patch": 3}, "patch"),
        ({"patch": 0}, "patch"),
        ({"depth": None}, "depth"),
        ({"depth": True}, "depth"),
        ({"kind": "perceptron"}, "kind"),
        ({"colour": 1}, "colour"),
        ({"labels": -1}, "labels"),
        ({"labels": True}, "labels"),
    ],
)
def test_a_mistake_in_the_config_is_one_line_that_names_the_key(change: dict, key: str):
    with pytest.raises(ValueError, match=rf"^initialize\.network\.{key}\b") as error:
        build({**TRANSFORMER, **change}, SHAPE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("config", NETWORKS)
def test_latents_of_another_shape_are_refused(config: dict):
    with pytest.raises(ValueError, match="3 x 4 x 4: this network was built for 3 x 4 x 6"):
        build(config, SHAPE)(torch.zeros(1, 3, 4, 4), torch.zeros(1))
