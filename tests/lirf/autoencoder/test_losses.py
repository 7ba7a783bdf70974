"""The losses: their values and laws, and gradients brought to one length."""

from __future__ import annotations

from pathlib import Path

import foreign
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from torch import nn

from lirf.autoencoder import losses
from lirf.features import imagenet, lpips

CPU = torch.device("cpu")


def columns(*angles: float) -> torch.Tensor:
    """Return features [1, 2, 1, W] that point at the given angles."""
    angle_W = torch.tensor(angles)
    return torch.stack([angle_W.cos(), angle_W.sin()])[None, :, None]


@pytest.mark.parametrize(
    ("margin", "expected"), [(0.0, (0 + 1 + 2) / 3), (0.5, (0 + 0.5 + 1.5) / 3)]
)
def test_the_loss_is_one_less_the_cosine_beyond_the_margin(margin: float, expected: float) -> None:
    found = losses.alignment(columns(0, 0, 0), 7 * columns(0, torch.pi / 2, torch.pi), margin)
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_lengths_do_not_matter_and_grids_may_differ() -> None:
    features_BFhw = torch.randn(2, 5, 1, 1, generator=torch.Generator().manual_seed(0))
    mapped_BFHW = 3 * features_BFhw.expand(-1, -1, 4, 4)
    assert losses.alignment(mapped_BFHW, features_BFhw, 0).item() == pytest.approx(0, abs=1e-6)
    assert losses.alignment(features_BFhw, mapped_BFHW, 0).item() == pytest.approx(0, abs=1e-6)


def test_the_head_acts_on_every_place_by_itself() -> None:
    torch.manual_seed(0)
    head = losses.head(2, 8, 5)
    z_BCHW = torch.randn(1, 2, 3, 3)
    whole = head(z_BCHW)
    assert whole.shape == (1, 5, 3, 3)
    torch.testing.assert_close(whole[..., 1:2, 2:3], head(z_BCHW[..., 1:2, 2:3]))


def test_balanced_losses_pull_equally_hard() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    reference, other = (weight**2).sum(), 1e-3 * weight.sum()
    factor = losses.balance(reference, other, weight)
    assert not factor.requires_grad
    (balanced,) = torch.autograd.grad(factor * other, weight)
    expected = torch.linalg.vector_norm(2 * weight.detach())
    assert torch.linalg.vector_norm(balanced).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_loss_that_has_nothing_to_say_stays_silent() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    reference, other = (weight**2).sum(), 0 * weight.sum()
    assert (losses.balance(reference, other, weight) * other).item() == 0


def quartet(seed: int, pairs: int) -> list[torch.Tensor]:
    """Return x_i, x_j [P, 1, 4, 4] and z_i, z_j [P, 2, 2, 2]."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(pairs, 1, 4, 4)] * 2 + [(pairs, 2, 2, 2)] * 2
    return [torch.randn(shape, generator=generator) for shape in shapes]


def reference(xi: np.ndarray, xj: np.ndarray, zi: np.ndarray, zj: np.ndarray) -> float:
    """Compute the formula in float64: ((d_x / s - d_z) / median d_z)^2, pair by pair."""
    x_P = [np.sqrt(((a - b) ** 2).sum()) for a, b in zip(xi, xj, strict=True)]
    z_P = [np.sqrt(((a - b) ** 2).sum()) for a, b in zip(zi, zj, strict=True)]
    s = np.median(x_P) / np.median(z_P)
    return float(
        np.mean([((x / s - z) / np.median(z_P)) ** 2 for x, z in zip(x_P, z_P, strict=True)])
    )


@pytest.mark.parametrize("pairs", [1, 5, 25])  # odd: numpy's median of an even number is a mean
def test_loss_agrees_with_float64(pairs: int) -> None:
    four = quartet(0, pairs)
    expected = reference(*(part.double().numpy() for part in four))
    assert losses.manifold(*four).item() == pytest.approx(expected, rel=1e-5, abs=1e-9)


scales = st.floats(1e-3, 1e3)


@settings(deadline=None)  # the first call may load libraries
@given(seed=st.integers(0, 2**31), pairs=st.integers(1, 12), a=scales, b=scales)
def test_loss_knows_no_scale(seed: int, pairs: int, a: float, b: float) -> None:
    xi, xj, zi, zj = quartet(seed, pairs)
    scaled = losses.manifold(a * xi, a * xj, b * zi, b * zj)
    torch.testing.assert_close(scaled, losses.manifold(xi, xj, zi, zj), rtol=1e-3, atol=1e-6)


@settings(deadline=None)  # the first call may load libraries
@given(seed=st.integers(0, 2**31), pairs=st.integers(1, 12), scale=scales)
def test_loss_of_a_similarity_is_zero(seed: int, pairs: int, scale: float) -> None:
    xi, xj, _, _ = quartet(seed, pairs)
    generator = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(torch.randn(16, 16, generator=generator))
    zi, zj = (scale * (x.flatten(1) @ rotation + 3).reshape(-1, 4, 2, 2) for x in (xi, xj))
    assert losses.manifold(xi, xj, zi, zj).item() < 1e-7


def test_gradient_neither_shrinks_nor_stretches_the_latents() -> None:
    xi, xj, zi, zj = quartet(1, 9)
    scale = torch.tensor(1.0, requires_grad=True)
    losses.manifold(xi, xj, scale * zi, scale * zj).backward()
    assert scale.grad is not None
    assert abs(scale.grad.item()) < 1e-5


def test_gradient_is_finite_where_latents_coincide() -> None:
    xi, xj, zi, zj = quartet(2, 5)
    zj[0] = zi[0]
    zi.requires_grad_()
    losses.manifold(xi, xj, zi, zj).backward()
    assert zi.grad is not None
    assert torch.isfinite(zi.grad).all()
    collapsed = torch.zeros_like(zi, requires_grad=True)
    value = losses.manifold(xi, xj, collapsed, collapsed * 2)
    value.backward()
    assert torch.isfinite(value)
    assert collapsed.grad is not None
    assert torch.isfinite(collapsed.grad).all()


def test_loss_tells_a_broken_neighbourhood() -> None:
    xi, xj, _, _ = quartet(3, 25)
    z_i, z_j = xi.clone(), xj.clone()
    kept = losses.manifold(xi, xj, z_i, z_j)
    z_j[:5] = z_i[:5] + 10 * (z_j[:5] - z_i[:5])
    assert kept.item() < 1e-7
    assert losses.manifold(xi, xj, z_i, z_j).item() > 1


def test_features_are_compared_by_what_was_asked_for(tmp_path: Path) -> None:
    distance = lpips.load(str(foreign.save_lpips(tmp_path / "a.safetensors")), CPU)
    a, b = torch.rand(2, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seen = losses.Eyes(lpips=distance)
    assert seen.distance("lpips", a, b) == distance.of_signals(a, b).mean()
    assert seen.distance("lpips", a, a) == 0


def test_features_of_imagenet_know_a_blurred_photograph_from_a_darker_one() -> None:
    seen = losses.Eyes(imagenet=imagenet.load(CPU))
    cat_HWC = data.chelsea()[:256:2, 100:356:2].astype(np.float32)
    cat_BCHW = torch.tensor(cat_HWC / 127.5 - 1).permute(2, 0, 1)[None]
    blurred_BCHW = torch.nn.functional.avg_pool2d(cat_BCHW, 5, 1, 2, count_include_pad=False)
    shade = (blurred_BCHW - cat_BCHW).abs().mean()
    darker_BCHW = (cat_BCHW - shade).requires_grad_()
    assert seen.distance("imagenet", cat_BCHW, cat_BCHW).item() == pytest.approx(0, abs=1e-5)
    darker = seen.distance("imagenet", darker_BCHW, cat_BCHW)
    assert seen.distance("imagenet", blurred_BCHW, cat_BCHW) > 2 * darker
    darker.backward()
    assert darker_BCHW.grad is not None
    assert bool(darker_BCHW.grad.any())
