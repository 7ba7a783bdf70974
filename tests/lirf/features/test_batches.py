"""Batches: every image through the network once, in order, and its bits its own."""

import numpy as np
import pytest
import torch
from torch import Tensor

from lirf.features import batches

CPU = torch.device("cpu")


@pytest.mark.parametrize("count", [1, batches.BATCH, batches.BATCH + 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_seen_once_in_three_channels(count: int, channels: int):
    images = np.random.default_rng(0).integers(0, 256, (count, channels, 2, 2), np.uint8)
    images.flags.writeable = False  # as arrays of a store are
    shapes = set()

    def see(x_B3HW: Tensor) -> Tensor:
        shapes.add(tuple(x_B3HW.shape))
        return x_B3HW.flatten(1).float()

    found = batches.extract(see, images, CPU)
    assert found.dtype == np.float64
    expected = np.broadcast_to(images, (count, 3, 2, 2)).reshape(count, -1)
    np.testing.assert_array_equal(found, expected)
    assert shapes == {(batches.BATCH, 3, 2, 2)}
