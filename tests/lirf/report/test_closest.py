"""Images beside their nearest training images: sorted, named, escaped, mirrored where they are."""

import numpy as np
import pytest

from lirf.measure.memorised import find_memorised
from lirf.measure.nearest import versions
from lirf.report import closest, tables
from lirf.report.closest import Closest

TRAIN_NCHW = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), np.uint8)
NAMES = ["far.png", "<b>.png", "tab\there.png"]


def flat(images_NCHW: np.ndarray) -> np.ndarray:
    return images_NCHW.reshape(len(images_NCHW), -1).astype(np.float64)


@pytest.fixture(scope="module")
def three() -> Closest:
    """Return an image that is far from all, the mirror image of one, and nearly another."""
    near_CHW = np.clip(TRAIN_NCHW[4].astype(int) + 2, 0, 255).astype(np.uint8)
    far_CHW = np.full((3, 8, 8), 128, np.uint8)
    images_MCHW = np.stack([far_CHW, TRAIN_NCHW[2][:, :, ::-1], near_CHW])
    known_VNF = np.stack([flat(one) for one in versions(TRAIN_NCHW, lambda seen: seen)])
    found = find_memorised(flat(images_MCHW), known_VNF)
    train_names = [f"{place}.png" for place in range(6)]
    return closest.closest(images_MCHW, NAMES, TRAIN_NCHW, train_names, found, 3)


def test_the_nearest_come_first(three: Closest):
    assert three.names == [NAMES[1], NAMES[2], NAMES[0]]
    assert (np.diff(three.found.distance[:, 0]) > 0).all()
    np.testing.assert_array_equal(three.images[0], TRAIN_NCHW[2][:, :, ::-1])


def test_a_table_can_be_read_back(three: Closest):
    rows = tables.parse(three.table())
    assert [row["file"] for row in rows] == three.names
    assert [row["nearest1"] for row in rows[:2]] == ["2.png", "4.png"]
    assert [row["mirrored1"] for row in rows[:2]] == [True, False]
    assert [row["memorised"] for row in rows] == [True, True, False]


def test_a_page_escapes_names_and_is_the_same_every_time(three: Closest):
    page = three.page()
    assert "&lt;b&gt;.png" in page
    assert "<b>" not in page
    assert page.count("2.png, mirrored") >= 1
    assert page.count("<tr>") == 1 + 3
    assert page == three.page()


def test_the_picture_has_a_row_for_each(three: Closest):
    assert three.picture().height > 3 * 48
