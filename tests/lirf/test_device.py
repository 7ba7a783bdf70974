"""The device that a name stands for."""

import pytest
import torch

from lirf import device


def test_names_are_understood():
    assert device.choose("cpu") == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert device.choose("auto") == torch.device(expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_an_error_with_a_remedy():
    with pytest.raises(ValueError, match=r"device = cuda: no usable GPU.*set device: auto or cpu"):
        device.choose("cuda")
