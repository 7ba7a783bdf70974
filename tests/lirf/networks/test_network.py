"""Shapes, the start at zero, and what a self-contained file must be."""

import ast
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from lirf.networks import network

TRANSFORMER = {"kind": "transformer", "patch": 2, "width": 16, "depth": 2, "heads": 2}
PERCEPTRON = {"kind": "mlp", "width": 16, "depth": 2}
SHAPE = (3, 4, 6)


def randomised(config: dict, shape: tuple[int, ...]) -> torch.nn.Module:
    """Return a network whose every weight matters."""
    torch.manual_seed(0)
    built = network.build(config, shape)
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
    kind=st.sampled_from(["transformer", "mlp"]),
)
def test_output_has_the_input_s_shape_and_starts_at_zero(batch, channels, grid, patch, kind):
    shape = (channels, grid[0] * patch, grid[1] * patch)
    config = {**TRANSFORMER, "patch": patch} if kind == "transformer" else PERCEPTRON
    x = torch.randn(batch, *shape)
    output = network.build(config, shape)(x, torch.rand(batch))
    assert output.shape == x.shape
    assert torch.equal(output, torch.zeros_like(x))


@pytest.mark.parametrize("config", [TRANSFORMER, PERCEPTRON])
def test_gradient_reaches_every_parameter(config: dict):
    built = randomised(config, SHAPE)
    built(torch.randn(5, *SHAPE), torch.rand(5)).square().mean().backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("config", [TRANSFORMER, PERCEPTRON])
def test_a_sample_depends_on_its_own_point_and_time_only(config: dict):
    built = randomised(config, SHAPE)
    x, t = torch.randn(4, *SHAPE), torch.tensor([0.0, 0.3, 0.7, 1.0])
    together = built(x, t)
    for index in range(4):
        alone = built(x[index : index + 1], t[index : index + 1])
        assert torch.allclose(together[index : index + 1], alone, atol=1e-5)
    later = built(x, (t + 0.05) / 1.1)
    assert (together - later).abs().amax(dim=(1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize("config", [TRANSFORMER, PERCEPTRON])
def test_a_label_of_zeros_is_no_label_and_no_other_label_is(config: dict):
    built = randomised({**config, "labels": 3}, SHAPE)
    x, t = torch.randn(4, *SHAPE), torch.rand(4)
    assert torch.equal(built(x, t, torch.zeros(4, 3)), built(x, t))
    label = torch.eye(4, 3)  # the last row has none
    moved = (built(x, t, label) - built(x, t)).abs().amax(dim=(1, 2, 3))
    assert moved[:3].min() > 1e-4
    assert moved[3] < 1e-5


@pytest.mark.parametrize("config", [TRANSFORMER, PERCEPTRON])
def test_labels_add_one_parameter_of_zeros_and_change_no_other(config: dict):
    built = []
    for labels in ({}, {"labels": 0}, {"labels": 3}):
        torch.manual_seed(0)
        built.append((network.build({**config, **labels}, SHAPE).state_dict(), torch.rand(1)))
    (plain, drawn), *others = built
    for parameters, drawn_after in others:
        assert torch.equal(drawn_after, drawn)
        for name, parameter in plain.items():
            assert torch.equal(parameters[name], parameter), name
    assert others[0][0].keys() == plain.keys()
    assert others[1][0].keys() - plain.keys() == {"time.label"}
    assert not others[1][0]["time.label"].any()


@pytest.mark.parametrize("config", [TRANSFORMER, PERCEPTRON])
@pytest.mark.parametrize("labels", [0, 3])
def test_labels_of_another_length_are_refused(config: dict, labels: int):
    built = network.build({**config, "labels": labels}, SHAPE)
    message = f"^augmentation labels of 2 numbers: this network was built for {labels}; rerun"
    with pytest.raises(ValueError, match=message):
        built(torch.zeros(1, *SHAPE), torch.zeros(1), torch.ones(1, 2))


def test_tokens_know_their_place():
    built = randomised({**TRANSFORMER, "patch": 1}, (2, 3, 3))
    x, t = torch.randn(1, 2, 3, 3), torch.tensor([0.5])
    moved = built(x.transpose(2, 3), t).transpose(2, 3)
    assert not torch.allclose(built(x, t), moved, atol=1e-3)


def test_unpatchify_inverts_patchify_and_a_token_is_a_patch():
    x = torch.arange(2 * 3 * 4 * 6, dtype=torch.float32).view(2, 3, 4, 6)
    tokens = network.patchify(x, 2)
    assert tokens.shape == (2, 6, 12)
    assert torch.equal(tokens[1, 4].view(3, 2, 2), x[1, :, 2:4, 2:4])
    assert torch.equal(network.unpatchify(tokens, (3, 4, 6), 2), x)


def test_positions_are_distinct():
    positions = network.sine_cosine_positions((4, 5), 16)
    assert positions.shape == (20, 16)
    assert torch.pdist(positions).min() > 1e-3


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"heads": 3}, "heads"),
        ({"width": 18, "heads": 2}, "width"),
        ({"patch": 3}, "patch"),
        ({"patch": 0}, "patch"),
        ({"depth": None}, "depth"),
        ({"depth": True}, "depth"),
        ({"kind": "unet"}, "kind"),
        ({"colour": 1}, "colour"),
        ({"labels": -1}, "labels"),
        ({"labels": True}, "labels"),
    ],
)
def test_a_mistake_in_the_config_is_one_line_that_names_the_key(change: dict, key: str):
    with pytest.raises(ValueError, match=rf"^initialize\.network\.{key}\b") as error:
        network.build({**TRANSFORMER, **change}, SHAPE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("config", [TRANSFORMER, PERCEPTRON])
def test_latents_of_another_shape_are_refused(config: dict):
    with pytest.raises(ValueError, match="3 x 4 x 4: this network was built for 3 x 4 x 6"):
        network.build(config, SHAPE)(torch.zeros(1, 3, 4, 4), torch.zeros(1))


def test_the_file_needs_torch_alone():
    tree = ast.parse(Path(str(network.__file__)).read_text())
    tops = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            tops |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            tops.add((node.module or ".").split(".")[0])
    assert tops <= {"torch", *sys.stdlib_module_names}
