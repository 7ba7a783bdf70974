"""Shifts and versions: what moves, by how much, what moves alike, and what the label says."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays

from lirf import params
from lirf.images import transforms
from lirf.images.transforms import Transform, shifted_pairs
from lirf.sampling import seeds

STRENGTHS = params.Augmentation(
    views=1, seed=0, flip=True, shift=0.1, rotation=30.0, scale=0.2, anisotropy=0.3
)
TRANSFORMS = st.builds(
    Transform,
    flip=st.booleans(),
    stretch=st.floats(-1, 1),
    axis=st.floats(0, math.pi),
    scale=st.floats(-1, 1),
    rotation=st.floats(-3, 3),
    shift=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
)


def noise(count: int, side: int = 8) -> np.ndarray:
    shape = (count, 2, side, side)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def apply_one(image_CHW: np.ndarray, transform: Transform) -> np.ndarray:
    return transforms.apply(image_CHW[None], [transform])[0]


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


def test_nothing_done_is_the_image_and_a_label_of_zeros() -> None:
    image = noise(1)[0]
    np.testing.assert_array_equal(apply_one(image, Transform()), image)
    assert Transform().label() == (0,) * len(transforms.LABELS)


def test_each_transform_does_what_it_is_called() -> None:
    image = noise(1)[0]
    expected = {
        Transform(flip=True): image[:, :, ::-1],
        Transform(rotation=math.pi / 2): np.rot90(image, -1, axes=(1, 2)),
        Transform(flip=True, rotation=math.pi / 2): np.rot90(image[:, :, ::-1], -1, axes=(1, 2)),
    }
    for transform, version in expected.items():
        np.testing.assert_array_equal(apply_one(image, transform), version)
    moved = apply_one(image, Transform(shift=(2 / 8, -1 / 8)))
    np.testing.assert_array_equal(moved[:, :-1, 2:], image[:, 1:, :-2])
    np.testing.assert_array_equal(moved[:, :-1, :2], image[:, 1:, 1::-1])  # its reflection


@pytest.mark.parametrize(
    ("transform", "width", "height"),
    [
        (Transform(scale=1.0), 16, 16),
        (Transform(scale=-1.0), 4, 4),
        (Transform(stretch=1.0), 16, 4),
        (Transform(stretch=1.0, axis=math.pi / 2), 4, 16),
        (Transform(stretch=1.0, rotation=math.pi / 2), 4, 16),
        (Transform(stretch=1.0, axis=math.pi / 2, rotation=math.pi / 2), 16, 4),
    ],
)
def test_magnification_and_stretch_have_their_size(
    transform: Transform, width: int, height: int
) -> None:
    square = np.zeros((1, 32, 32), np.uint8)
    square[:, 12:20, 12:20] = 200
    version = apply_one(square, transform)[0, 8:24, 8:24] > 100  # outside it are reflections
    assert (version.any(0).sum(), version.any(1).sum()) == (width, height)


@given(one=TRANSFORMS, other=TRANSFORMS)
def test_a_label_names_its_transform(one: Transform, other: Transform) -> None:
    apart = np.linalg.norm(np.array(one.label()) - np.array(other.label()))
    far = np.abs(one.inverse() - other.inverse()).max()
    # The inverse maps are smooth in the label, with slopes that these ranges bound.
    assert far <= 100 * apart + 1e-9


@given(transform=TRANSFORMS)
def test_equal_stretches_have_equal_labels(transform: Transform) -> None:
    turned = Transform(
        transform.flip,
        -transform.stretch,
        transform.axis + math.pi / 2,
        transform.scale,
        transform.rotation,
        transform.shift,
    )
    np.testing.assert_allclose(turned.label(), transform.label(), atol=1e-9)
    np.testing.assert_allclose(turned.inverse(), transform.inverse(), atol=1e-9)


def test_draws_have_their_strengths() -> None:
    drawn = [
        transforms.draw(STRENGTHS, seeds.generator(seed))
        for seed in seeds.seeds(0, "train-00000", 4000)
    ]
    assert np.mean([one.flip for one in drawn]) == pytest.approx(0.5, abs=0.04)
    assert np.std([one.shift for one in drawn], axis=0) == pytest.approx(0.1, rel=0.05)
    assert np.std([one.scale for one in drawn]) == pytest.approx(0.2, rel=0.05)
    assert np.std([one.stretch for one in drawn]) == pytest.approx(0.3, rel=0.05)
    degrees = np.degrees([one.rotation for one in drawn])
    assert 29 < -degrees.min() < 30
    assert 29 < degrees.max() < 30
    assert np.mean([one.label() for one in drawn], axis=0)[1:3] == pytest.approx(0, abs=0.01)


def test_strengths_of_zero_leave_the_image_alone_and_the_other_draws_as_they_are() -> None:
    nothing = {"flip": False, "shift": 0.0, "rotation": 0.0, "scale": 0.0, "anisotropy": 0.0}
    still = transforms.draw(STRENGTHS.model_copy(update=nothing), seeds.generator(7))
    assert still.label() == (0,) * len(transforms.LABELS)
    some = transforms.draw(
        STRENGTHS.model_copy(update={**nothing, "anisotropy": 0.3}), seeds.generator(7)
    )
    whole = transforms.draw(STRENGTHS, seeds.generator(7))
    assert (some.stretch, some.axis) == (whole.stretch, whole.axis)


def test_a_version_is_the_same_whatever_the_batch() -> None:
    images = noise(5)
    drawn = [transforms.draw(STRENGTHS, seeds.generator(seed)) for seed in range(5)]
    together = transforms.apply(images, drawn)
    assert not (together == images).all(axis=(1, 2, 3)).any()
    for image, transform, version in zip(images, drawn, together, strict=True):
        np.testing.assert_array_equal(apply_one(image, transform), version)


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.just(4), st.just(5)))
)
def test_mirroring_turns_left_and_right_around_and_twice_is_nothing(images):
    mirrored = transforms.mirror(images)
    np.testing.assert_array_equal(mirrored[..., 0], images[..., -1])
    np.testing.assert_array_equal(transforms.mirror(mirrored), images)
