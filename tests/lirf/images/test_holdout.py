"""The draw of held-out images: a share, by seed, groups whole, others left where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lirf.images import holdout
from lirf.images.decode import Decoded
from lirf.images.folder import ImageFile

Image = tuple[ImageFile, Decoded]


def image(name: str, seed: int) -> Image:
    pixels_CHW = np.random.default_rng(seed).integers(0, 256, (1, 4, 4), dtype=np.uint8)
    return ImageFile(Path(name), name, "train"), Decoded(pixels_CHW, "", 4, 4, "L", "")


def heldout(images: list[Image], share: float, seed: int = 0, group: list[int] | None = None):
    group_N = np.arange(len(images)) if group is None else np.array(group)
    drawn = holdout.draw(images, group_N, share, seed)
    assert [file.name for file, _ in drawn] == [file.name for file, _ in images]
    return {file.name for file, _ in drawn if file.split == "heldout"}


MANY = [image(f"{place}.png", place) for place in range(50)]


def test_the_share_is_drawn_by_seed():
    first = heldout(MANY, 0.2)
    assert len(first) == 10
    assert heldout(MANY, 0.2) == first
    assert heldout(MANY, 0.2, seed=1) != first
    assert len(heldout(MANY[:3], 0.01)) == 1


def test_neither_names_nor_order_matter():
    other = [(ImageFile(Path("x"), f"x{file.name}", "train"), one) for file, one in MANY[::-1]]
    assert heldout(other, 0.2) == {f"x{name}" for name in heldout(MANY, 0.2)}


def test_more_images_move_few_of_the_others():
    before, after = heldout(MANY[:40], 0.25), heldout(MANY, 0.25)
    assert len(before - after) <= 3


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30), st.floats(0.01, 0.5), st.integers(0, 9)
)
def test_groups_and_identical_images_stay_together(group: list[int], share: float, seed: int):
    images = [image(f"{place}.png", place % 20) for place in range(len(group))]
    group = [group[place % 20] for place in range(len(group))]
    drawn = heldout(images, share, seed, group)
    assert len(drawn) >= max(1, round(share * len(images)))
    for key in set(group):
        members = {f"{place}.png" for place, one in enumerate(group) if one == key}
        assert members <= drawn or not members & drawn
