"""Alignment: the loss on directions that are known, and gradients brought to one length."""

import pytest
import torch
from torch import nn

from lirf.autoencoder import alignment


def columns(*angles: float) -> torch.Tensor:
    """Return features [1, 2, 1, W] that point at the given angles."""
    angle_W = torch.tensor(angles)
    return torch.stack([angle_W.cos(), angle_W.sin()])[None, :, None]


@pytest.mark.parametrize(
    ("margin", "expected"), [(0.0, (0 + 1 + 2) / 3), (0.5, (0 + 0.5 + 1.5) / 3)]
)
def test_the_loss_is_one_less_the_cosine_beyond_the_margin(margin: float, expected: float) -> None:
    found = alignment.loss(columns(0, 0, 0), 7 * columns(0, torch.pi / 2, torch.pi), margin)
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_lengths_do_not_matter_and_grids_may_differ() -> None:
    features_BFhw = torch.randn(2, 5, 1, 1, generator=torch.Generator().manual_seed(0))
    mapped_BFHW = 3 * features_BFhw.expand(-1, -1, 4, 4)
    assert alignment.loss(mapped_BFHW, features_BFhw, 0).item() == pytest.approx(0, abs=1e-6)
    assert alignment.loss(features_BFhw, mapped_BFHW, 0).item() == pytest.approx(0, abs=1e-6)


def test_the_head_acts_on_every_place_by_itself() -> None:
    torch.manual_seed(0)
    head = alignment.head(2, 8, 5)
    z_BCHW = torch.randn(1, 2, 3, 3)
    whole = head(z_BCHW)
    assert whole.shape == (1, 5, 3, 3)
    torch.testing.assert_close(whole[..., 1:2, 2:3], head(z_BCHW[..., 1:2, 2:3]))


def test_balanced_losses_pull_equally_hard() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    reference, other = (weight**2).sum(), 1e-3 * weight.sum()
    factor = alignment.balance(reference, other, weight)
    assert not factor.requires_grad
    (balanced,) = torch.autograd.grad(factor * other, weight)
    expected = torch.linalg.vector_norm(2 * weight.detach())
    assert torch.linalg.vector_norm(balanced).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_loss_that_has_nothing_to_say_stays_silent() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    reference, other = (weight**2).sum(), 0 * weight.sum()
    assert (alignment.balance(reference, other, weight) * other).item() == 0
