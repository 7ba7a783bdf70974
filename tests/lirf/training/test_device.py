"""The device that a name stands for."""

from pathlib import Path

import pytest
import torch

from lirf import params
from lirf.training import device


def test_names_are_understood():
    assert device.choose("cpu") == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert device.choose("auto") == torch.device(expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_an_error_with_a_remedy():
    with pytest.raises(ValueError, match=r"device = cuda: no usable GPU.*set device: auto or cpu"):
        device.choose("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@pytest.mark.parametrize("deterministic", [True, False])
def test_deterministic_algorithms_are_a_choice(deterministic: bool):
    try:
        device.choose("cuda", deterministic)
        assert torch.are_deterministic_algorithms_enabled() == deterministic
    finally:
        torch.use_deterministic_algorithms(False)


def test_they_are_the_shipped_choice():
    assert params.load(Path(__file__).parents[3] / "params.yaml").deterministic
