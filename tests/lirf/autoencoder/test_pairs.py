"""The pairs of near images that training is made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lirf.autoencoder import pairs


def test_neighbours_are_the_nearest_others() -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), dtype=np.uint8)
    flat = images.reshape(30, -1).astype(np.float64)
    distances = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(pairs.neighbours(images, 4).numpy(), expected)


def test_too_few_images_for_the_neighbours() -> None:
    images = np.zeros((4, 1, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=r"manifold_neighbours = 4.* only 4 training"):
        pairs.neighbours(images, 4)


def test_pairs_join_neighbours_and_visit_every_image_equally() -> None:
    neighbours_NK = torch.tensor([[(i + 1) % 10, (i + 2) % 10] for i in range(10)])
    generator = torch.Generator().manual_seed(0)
    queue, drawn = torch.empty(0, dtype=torch.int64), []
    for _ in range(25):
        i_P, j_P, queue = pairs.draw(neighbours_NK, queue, 4, generator)
        drawn.append((i_P, j_P))
    i, j = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    assert torch.bincount(i).tolist() == [10] * 10
    assert set(((j - i) % 10).tolist()) == {1, 2}


def test_pairs_are_mirrored_alike_about_half_of_them() -> None:
    x_BCHW = torch.rand(80, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    found_BCHW = pairs.mirrored(x_BCHW, torch.Generator().manual_seed(1))
    same_B, turned_B = (
        (found_BCHW == one).flatten(1).all(dim=1) for one in (x_BCHW, x_BCHW.flip(-1))
    )
    assert torch.equal(turned_B, ~same_B)
    assert torch.equal(turned_B[:40], turned_B[40:])
    assert 10 < turned_B[:40].sum() < 30
