"""Shifts: what moves, by how much, and what moves alike."""

from __future__ import annotations

import torch

from lirf.augmentation import shifted_pairs


def ramp(count: int) -> torch.Tensor:
    """Return images whose pixels say where they came from: 10 * row + column."""
    place_HW = 10 * torch.arange(6.0)[:, None] + torch.arange(5.0)
    return place_HW.expand(count, 1, 6, 5).clone()


def test_pixels_move_together_and_edges_repeat() -> None:
    moved = shifted_pairs(ramp(400), 2, torch.Generator().manual_seed(0))
    assert moved.shape == (400, 1, 6, 5)
    seen = set()
    for image_HW in moved[:, 0]:
        middle = int(image_HW[2, 2])
        down, right = middle // 10 - 2, middle % 10 - 2
        rows, columns = torch.arange(6) + down, torch.arange(5) + right
        expected = 10 * rows.clamp(0, 5)[:, None] + columns.clamp(0, 4)
        torch.testing.assert_close(image_HW, expected.float())
        seen.add((down, right))
    assert seen == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}


def test_a_pair_moves_alike_and_no_reach_is_no_move() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = shifted_pairs(ramp(40), 1, generator).chunk(2)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(shifted_pairs(ramp(4), 0, generator), ramp(4), rtol=0, atol=0)
