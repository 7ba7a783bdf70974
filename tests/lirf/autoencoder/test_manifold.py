"""The manifold loss: its value, its laws, and the pairs that it is measured on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lirf.autoencoder import manifold


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
    assert manifold.loss(*four).item() == pytest.approx(expected, rel=1e-5, abs=1e-9)


scales = st.floats(1e-3, 1e3)


@settings(deadline=None)  # the first call may load libraries
@given(seed=st.integers(0, 2**31), pairs=st.integers(1, 12), a=scales, b=scales)
def test_loss_knows_no_scale(seed: int, pairs: int, a: float, b: float) -> None:
    xi, xj, zi, zj = quartet(seed, pairs)
    scaled = manifold.loss(a * xi, a * xj, b * zi, b * zj)
    torch.testing.assert_close(scaled, manifold.loss(xi, xj, zi, zj), rtol=1e-3, atol=1e-6)


@settings(deadline=None)  # the first call may load libraries
@given(seed=st.integers(0, 2**31), pairs=st.integers(1, 12), scale=scales)
def test_loss_of_a_similarity_is_zero(seed: int, pairs: int, scale: float) -> None:
    xi, xj, _, _ = quartet(seed, pairs)
    generator = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(torch.randn(16, 16, generator=generator))
    zi, zj = (scale * (x.flatten(1) @ rotation + 3).reshape(-1, 4, 2, 2) for x in (xi, xj))
    assert manifold.loss(xi, xj, zi, zj).item() < 1e-7


def test_gradient_neither_shrinks_nor_stretches_the_latents() -> None:
    xi, xj, zi, zj = quartet(1, 9)
    scale = torch.tensor(1.0, requires_grad=True)
    manifold.loss(xi, xj, scale * zi, scale * zj).backward()
    assert scale.grad is not None
    assert abs(scale.grad.item()) < 1e-5


def test_gradient_is_finite_where_latents_coincide() -> None:
    xi, xj, zi, zj = quartet(2, 5)
    zj[0] = zi[0]
    zi.requires_grad_()
    manifold.loss(xi, xj, zi, zj).backward()
    assert zi.grad is not None
    assert torch.isfinite(zi.grad).all()
    collapsed = torch.zeros_like(zi, requires_grad=True)
    value = manifold.loss(xi, xj, collapsed, collapsed * 2)
    value.backward()
    assert torch.isfinite(value)
    assert collapsed.grad is not None
    assert torch.isfinite(collapsed.grad).all()


def test_loss_tells_a_broken_neighbourhood() -> None:
    xi, xj, _, _ = quartet(3, 25)
    z_i, z_j = xi.clone(), xj.clone()
    kept = manifold.loss(xi, xj, z_i, z_j)
    z_j[:5] = z_i[:5] + 10 * (z_j[:5] - z_i[:5])
    assert kept.item() < 1e-7
    assert manifold.loss(xi, xj, z_i, z_j).item() > 1


def test_neighbours_are_the_nearest_others() -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), dtype=np.uint8)
    flat = images.reshape(30, -1).astype(np.float64)
    distances = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(manifold.neighbours(images, 4).numpy(), expected)


def test_too_few_images_for_the_neighbours() -> None:
    images = np.zeros((4, 1, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=r"manifold_neighbours = 4.* only 4 training"):
        manifold.neighbours(images, 4)


def test_pairs_join_neighbours_and_visit_every_image_equally() -> None:
    neighbours_NK = torch.tensor([[(i + 1) % 10, (i + 2) % 10] for i in range(10)])
    generator = torch.Generator().manual_seed(0)
    queue, drawn = torch.empty(0, dtype=torch.int64), []
    for _ in range(25):
        i_P, j_P, queue = manifold.draw(neighbours_NK, queue, 4, generator)
        drawn.append((i_P, j_P))
    i, j = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    assert torch.bincount(i).tolist() == [10] * 10
    assert set(((j - i) % 10).tolist()) == {1, 2}
