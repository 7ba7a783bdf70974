"""How images meet an autoencoder: Pillow's Lanczos, and grey as Pillow's."""

import numpy as np
import pytest
import torch
from PIL import Image

from lirf.autoencoder.frame import (
    Frame,
    in_channels,
    pixels_to_signal,
    resized,
    signal_to_pixels,
)


def drawn(channels: int, side: int = 16) -> torch.Tensor:
    return torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("factor", [4, 2, 0.5, 0.25])
def test_it_is_pillows_lanczos(factor: float) -> None:
    x_BCHW = drawn(3)
    side = round(16 * factor)
    found_BCHW = resized(x_BCHW, factor)
    assert found_BCHW.shape == (2, 3, side, side)
    for found_CHW, x_CHW in zip(found_BCHW, x_BCHW, strict=True):
        for found_HW, x_HW in zip(found_CHW, x_CHW, strict=True):
            whole = Image.fromarray(x_HW.numpy())
            expected_HW = np.asarray(whole.resize((side, side), Image.Resampling.LANCZOS))
            np.testing.assert_allclose(found_HW.numpy(), expected_HW, atol=1e-6)


def test_grey_is_pillows_luminance() -> None:
    x_BCHW = (drawn(3) * 255).round()
    pixels = x_BCHW[0].permute(1, 2, 0).numpy().astype(np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    np.testing.assert_allclose(in_channels(x_BCHW, 1)[0, 0].numpy(), expected, atol=1)


@pytest.mark.parametrize("enlarge", [1, 2, 4])
@pytest.mark.parametrize(("channels", "taken"), [(1, 1), (1, 3), (3, 3)])
def test_out_of_undoes_into(enlarge: int, channels: int, taken: int) -> None:
    frame = Frame(channels, enlarge)
    smooth_BCHW = resized(drawn(channels, 4), 4)
    seen_BCHW = frame.into(smooth_BCHW, taken)
    assert seen_BCHW.shape == (2, taken, 16 * enlarge, 16 * enlarge)
    torch.testing.assert_close(frame.out_of(seen_BCHW), smooth_BCHW, atol=0.02, rtol=0)


def test_as_they_are_images_are_not_touched() -> None:
    x_BCHW = drawn(3)
    assert Frame(3).out_of(Frame(3).into(x_BCHW, 3)).data_ptr() == x_BCHW.data_ptr()


def test_what_is_shrunk_has_a_gradient_that_reaches_every_pixel() -> None:
    x_BCHW = drawn(3).requires_grad_()
    Frame(1, 2).out_of(x_BCHW).sum().backward()
    assert x_BCHW.grad is not None
    assert bool((x_BCHW.grad > 0).all())


def test_every_grey_level_survives_the_scaling_to_a_signal() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    signal = pixels_to_signal(levels)
    assert (signal.min().item(), signal.max().item()) == (-1, 1)
    np.testing.assert_array_equal(signal_to_pixels(signal), levels)
    assert signal_to_pixels(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_value_that_is_not_finite_is_no_black_pixel(bad: float):
    signal = torch.zeros(3, 1, 2, 2)
    signal[1, 0, 1, 1] = bad
    with pytest.raises(ValueError, match="decoded image 1 of a batch is not finite"):
        signal_to_pixels(signal)
