"""Near-duplicates stand out by their distance, and hide nothing, whatever versions there are."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lirf.features import pixels
from lirf.images import bundled
from lirf.images.transforms import mirror
from lirf.measure.duplicates import MOST, NEAR, by_image, first_equal, near_duplicates, of_rows
from lirf.measure.memorised import MEMORISED_RATIO, calibrate, find_memorised


def gaussian(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def found(train_VNF: np.ndarray) -> list[set[int]]:
    return [set(row[row >= 0].tolist()) for row in near_duplicates(train_VNF)]


def line(*points: float) -> np.ndarray:
    return np.array(points)[None, :, None]


def test_near_duplicates_are_before_a_gap():
    # From 0 the others lie at 1, 2 and 10: 1 < NEAR * 2, and 2 < NEAR * 10.
    assert found(line(0, 1, 2, 10)) == [{1, 2}, {0, 2}, {0, 1}, set()]
    assert found(line(0, 1, 1 / NEAR - 0.01)) == [set(), set(), {1}]
    assert found(line(0, 6, -10)) == [set(), {0}, set()], "NEAR times as far is not nearer"


def test_a_chain_is_no_group():
    frames = found(line(*np.arange(30.0)))
    assert frames == [{1}, *({i - 1, i + 1} for i in range(1, 29)), {28}]
    wander = np.cumsum(gaussian(10, 60, 400), axis=0)
    assert not any(found(wander[None])[1:-1])


def test_a_kind_of_image_is_no_near_duplicate():
    some, more = 1e-3 * gaussian(0, MOST + 1, 9), 1e-3 * gaussian(1, MOST + 2, 9)
    far = gaussian(2, 12, 9)
    assert found(np.concatenate([some, far])[None])[0] == set(range(1, MOST + 1))
    assert found(np.concatenate([more, far])[None])[0] == set()


def test_a_mirrored_copy_is_a_near_duplicate_where_mirrored_versions_count():
    rows = gaussian(3, 12, 20)
    both = np.concatenate([rows, rows[:3, ::-1] + 1e-3])
    assert found(both[None])[0] == set()
    assert found(np.stack([both, both[:, ::-1]]))[:3] == [{12}, {13}, {14}]


def test_equal_images_count_as_one():
    rows = gaussian(4, 10, 20)
    many = np.concatenate([rows, np.repeat(rows[:1], 2 * MOST, axis=0), rows[:1] + 1e-3])[None]
    assert first_equal(many)[9:].tolist() == [9, *[0] * 2 * MOST, 10 + 2 * MOST]
    nearly = 10 + 2 * MOST
    assert found(many) == [{nearly}, *[set()] * 9, *[{nearly}] * 2 * MOST, {0}]


def test_minus_zero_is_zero():
    assert first_equal(np.array([[[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]]])).tolist() == [0, 0, 2]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images(count: int):
    assert found(gaussian(5, 2, count, 40)) == [set()] * count
    assert near_duplicates(gaussian(5, 2, count, 40)).shape[1] <= MOST


def test_images_of_one_row_and_of_many():
    rows, image = np.array([[0.0], [0.1], [5.0], [5.2], [-5.0]]), np.array([7, 7, 3, 9, 3])
    assert [max(row) for row in of_rows(rows, image).tolist()] == [-1, -1, 9, 3, 7]
    assert of_rows(rows, image, queries=2).tolist() == of_rows(rows, image)[:2].tolist()
    row_MK, distance_MK = by_image(np.array([[1, 0, 2]]), np.array([[1.0, 1.0, 4.0]]), image, 3)
    assert (row_MK[0, :2].tolist(), distance_MK.tolist()) == ([0, 2], [[1, 4, np.inf]])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(3, 14), st.integers(1, 4), st.integers(1, 3))
def test_near_duplicates_follow_their_definition(seed: int, n: int, f: int, v: int):
    train = gaussian(seed, v, n, f)
    for i, row in enumerate(found(train)):
        reach = {
            j: min(np.linalg.norm(train[0, i] - train[k, j]) for k in range(v))
            for j in range(n)
            if j != i
        }
        order = sorted(reach, key=reach.__getitem__)
        gaps = [
            place
            for place in range(1, min(MOST, n - 2) + 1)
            if reach[order[place - 1]] < NEAR * reach[order[place]]
        ]
        assert row == set(order[: max(gaps, default=0)])


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 3), st.floats(0, 0.15), st.floats(0.5, 1),
    st.integers(1, 2),
)  # fmt: skip
def test_copies_of_training_images_hide_no_memorised_sample(
    seed: int, times: int, apart: float, share: float, versions: int
):
    rng = np.random.default_rng(seed)
    train, sideways = rng.normal(size=(25, 60)), rng.normal(size=(times, 25, 60))
    some = rng.random(25) < share
    copies = (train + apart * sideways)[:, some].reshape(-1, 60)
    fake = np.concatenate([train + 0.2 * rng.normal(size=train.shape), rng.normal(size=(20, 60))])
    alone, beside = (
        find_memorised(fake, np.stack([known, known[:, ::-1]][:versions]))
        for known in (train, np.concatenate([train, copies]))
    )
    assert alone.memorised[:25].all()
    assert beside.memorised[:25].all()
    assert not beside.memorised[25:].any()


def test_a_limit_of_the_training_images_is_that_without_their_copies():
    rows = gaussian(6, 120, 150)
    copies = rows + 0.3 * gaussian(7, 2, 120, 150)
    alone, beside = calibrate(rows[None]), calibrate(np.concatenate([rows, *copies])[None])
    assert beside == pytest.approx(alone, abs=0.02)
    none = np.empty((360, 0), np.int64)
    assert calibrate(np.concatenate([rows, *copies])[None], none) < alone - 0.2


def jpeg(images_NCHW: np.ndarray) -> np.ndarray:
    files = [io.BytesIO() for _ in images_NCHW]
    for image_CHW, file in zip(images_NCHW, files, strict=True):
        Image.fromarray(image_CHW[0]).save(file, "JPEG", quality=75)
    return np.stack([np.asarray(Image.open(file))[None] for file in files])


@pytest.mark.parametrize("every", [1, 2, 10])
def test_digits_saved_twice_are_found_all_the_same(every: int):
    train, heldout = (
        np.stack([image for _, split, image in bundled.digits() if split == which])[:, None]
        for which in ("train", "heldout")
    )
    noise = np.random.default_rng(8).normal(0, 8, train.shape)
    samples = pixels.extract((train + noise).clip(0, 255).round().astype(np.uint8))
    twice = np.concatenate([train, jpeg(train[::every])])
    alone, beside = (
        np.stack([pixels.extract(one) for one in (images, mirror(images))])
        for images in (train, twice)
    )
    assert (near_duplicates(alone) < 0).all(), "the rule changes nothing where there is none"
    assert find_memorised(samples, alone).share == find_memorised(samples, beside).share == 1
    none = np.empty((len(twice), 0), np.int64)
    plain = find_memorised(samples, beside, MEMORISED_RATIO, alike=none)
    assert plain.share == pytest.approx(1 - 1 / every), "what the plain rule misses"
    new = pixels.extract(heldout)
    assert find_memorised(new, beside).share == pytest.approx(
        find_memorised(new, alone).share, abs=0.001
    )


def test_what_is_not_finite_is_refused():
    train = gaussian(9, 1, 5, 3)
    train[0, 2, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        near_duplicates(train)
