"""LPIPS with weights made here: that of torchvision's AlexNet, layer by layer."""

from pathlib import Path

import foreign
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import alexnet

from lirf.features import lpips

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TAPS = (1, 4, 7, 9, 11)  # of torchvision's `features`, after each ReLU


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign.save_lpips(tmp_path_factory.mktemp("lpips") / "alexnet.safetensors")


def pixels(channels: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, channels, side, side), np.uint8)


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_the_sum_over_layers_of_weighted_squared_differences(
    channels: int, weights: Path
) -> None:
    heads = load_file(weights)
    network = alexnet().features.eval()
    network.load_state_dict(
        {k.removeprefix("features."): one for k, one in heads.items() if k.startswith("features")}
    )
    a, b = pixels(channels, 80, 0), pixels(channels, 80, 1)
    expected = torch.zeros(3)
    mean = torch.tensor([-0.030, -0.088, -0.188]).reshape(3, 1, 1)
    std = torch.tensor([0.458, 0.448, 0.450]).reshape(3, 1, 1)
    x, y = (
        ((torch.tensor(one).float() / 127.5 - 1).expand(-1, 3, -1, -1) - mean) / std
        for one in (a, b)
    )
    for index, layer in enumerate(network):
        x, y = layer(x), layer(y)
        if index in TAPS:
            share = heads[f"lin{TAPS.index(index)}.model.1.weight"][0]
            gap = x / x.norm(dim=1, keepdim=True) - y / y.norm(dim=1, keepdim=True)
            expected += (gap.square() * share).sum(dim=1).mean(dim=(1, 2))
    found = lpips.load(str(weights), CPU)
    np.testing.assert_allclose(found.distances(a, b, 2), expected.numpy(), rtol=1e-3)
    assert len(found.distances(a[:0], b[:0], 2)) == 0


def test_identical_images_are_at_no_distance_and_small_ones_are_enlarged(weights: Path) -> None:
    found = lpips.load(str(weights), CPU)
    a, b = pixels(1, 8, 0), pixels(1, 8, 1)
    assert bool((found.distances(a, a, 3) == 0).all())
    assert bool((found.distances(a, b, 3) > 0).all())


def test_signals_of_any_size_have_a_gradient_and_weights_have_none(weights: Path) -> None:
    found = lpips.load(str(weights), CPU)
    a, b = torch.zeros(2, 1, 8, 8, requires_grad=True), torch.ones(2, 1, 8, 8)
    found.of_signals(a, b).sum().backward()
    assert a.grad is not None
    assert bool(a.grad.any())
    assert not any(one.weight.requires_grad for one in found.convolutions)


def test_what_is_missing_or_not_lpips_is_one_line(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^autoencoder.lpips = nowhere: no such file; set null"):
        lpips.load("nowhere", CPU)
    other = tmp_path / "other.safetensors"
    save_file({"features.0.weight": torch.zeros(2)}, other)
    with pytest.raises(ValueError, match=r"other.safetensors: not the weights of LPIPS .*; take"):
        lpips.load(str(other), CPU)
    other.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"other.safetensors: not the weights of LPIPS"):
        lpips.load(str(other), CPU)
