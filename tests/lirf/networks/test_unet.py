"""The U-Net: its pyramid, the same at every place, and what cannot be built."""

import pytest
import torch

from lirf.networks import unet
from lirf.networks.build import build
from lirf.networks.unet import VelocityUNet


def test_its_grids_halve_and_their_channels_double():
    built = VelocityUNet((2, 16, 24), patch=2, width=8, levels=3, depth=2, attention=1)
    grids = []
    for block in [*built.down, *built.middle, *built.up]:
        block.register_forward_hook(lambda _, __, out: grids.append(tuple(out.shape[1:])))
    assert built(torch.zeros(1, 2, 16, 24), torch.zeros(1)).shape == (1, 2, 16, 24)
    fine, middle, coarse = (8, 8, 12), (16, 4, 6), (32, 2, 3)
    down = [fine] * 2 + [(8, 4, 6)] + [middle] * 2 + [(16, 2, 3)] + [coarse] * 2
    up = [coarse] * 3 + [middle] * 4 + [fine] * 4
    assert grids == [*down, coarse, coarse, *up]


@pytest.mark.parametrize(("attention", "attending"), [(0, set()), (1, {2}), (3, {8, 4, 2})])
def test_the_coarsest_grids_attend(attention: int, attending: set[int]):
    built = VelocityUNet((2, 8, 8), patch=1, width=8, levels=3, depth=1, attention=attention)
    sides = set()
    for module in built.modules():
        if isinstance(module, unet.Attention):
            module.register_forward_hook(lambda _, __, out: sides.add(out.shape[-1]))
    built(torch.zeros(1, 2, 8, 8), torch.zeros(1))
    assert sides == attending


def test_every_place_is_treated_alike():
    """On a torus, which has no border, a picture that moves gives an output that moves with it."""
    built = VelocityUNet((2, 8, 12), patch=1, width=8, levels=3, depth=1, attention=1)
    for weight in built.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    for module in built.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.padding_mode = "circular"
    x, t = torch.randn(1, 2, 8, 12), torch.tensor([0.5])
    there = built(x, t)
    assert torch.allclose(
        built(x.roll((4, 8), dims=(2, 3)), t), there.roll((4, 8), dims=(2, 3)), atol=1e-4
    )
    assert not torch.allclose(there, there.roll((4, 8), dims=(2, 3)), atol=1e-1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"levels": 3},
            "levels = 3: halves 4 x 6 patches 2 times, which leaves a rest; take fewer",
        ),
        ({"patch": 2}, "levels = 2: halves 2 x 3 patches 1 times, which leaves a rest; take fewer"),
        ({"patch": 3}, "patch = 3: must divide the latents' sides, 4 x 6"),
        ({"width": 18}, "width = 18: must be a multiple of 4"),
        ({"attention": 3}, "attention = 3: must be at most levels = 2"),
        ({"attention": -1}, "attention = -1: must be a whole number, 0 or more"),
        ({"heads": 2}, "heads: unknown for kind unet; remove it"),
    ],
)
def test_what_cannot_be_built_is_one_line(change: dict, message: str):
    config = {
        "kind": "unet",
        "patch": 1,
        "width": 16,
        "levels": 2,
        "depth": 1,
        "attention": 1,
        **change,
    }
    with pytest.raises(ValueError, match=f"^initialize.network.{message}$"):
        build(config, (3, 4, 6))


@pytest.mark.parametrize(("width", "heads"), [(8, 1), (32, 1), (48, 2), (80, 4), (128, 4)])
def test_a_head_of_attention_has_at_most_32_channels(width: int, heads: int):
    assert unet.Attention(width).heads == heads
