"""What the correction of a round measures, against its definitions."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.densify import correction, windows
from lirf.densify.correction import Correction, measure
from lirf.params import Correct
from lirf.store.rows import Room

CONFIG = Correct(
    operator="slerp", window=None, reach=0, references="bank",
    neighbours=3, temperature=1.0, dimensions=1,
)  # fmt: skip
CONFIGS = [
    CONFIG,
    CONFIG.model_copy(update={"references": "real"}),
    CONFIG.model_copy(update={"operator": "tangent"}),
    CONFIG.model_copy(update={"operator": "tangent", "references": "real", "dimensions": 2}),
]
configs = st.sampled_from(CONFIGS)
seeds = st.integers(0, 2**32 - 1)


def latents(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, 1, 2), np.float32)


def corrected(
    z: np.ndarray, bank: np.ndarray, real: int, lambda_: float = 0.5, config: Correct = CONFIG
) -> Correction:
    """Correct `z` with a bank whose first `real` rows are real, in pairs of one image."""
    group = np.where(np.arange(len(bank)) < real, np.arange(len(bank)) // 2, np.arange(len(bank)))
    return measure(z, bank, np.arange(len(bank)) < real, group, config, lambda_)


def length(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x.reshape(len(x), -1).astype(np.float64), axis=1)


@given(seeds, st.floats(0.1, 1), configs)
def test_distances_are_those_of_the_result(seed: int, lambda_: float, config: Correct):
    z, bank = latents(seed, 5), latents(seed + 1, 12)
    done = corrected(z, bank, real=8, lambda_=lambda_, config=config)
    np.testing.assert_allclose(done.displacement, length(z - done.latents), atol=1e-5)
    nearest = [length(bank[:8] - row).min() for row in done.latents]
    np.testing.assert_allclose(done.novelty, nearest, atol=1e-5)
    np.testing.assert_allclose(done.weights.sum(axis=1), 1)


@given(seeds, configs)
def test_a_real_row_is_judged_like_a_candidate_that_the_bank_lacks(seed: int, config: Correct):
    """Take a pair out of the bank and offer it: it moves as it did when left out."""
    bank = latents(seed, 12)
    whole = corrected(latents(seed + 1, 2), bank, real=8, config=config)
    without = corrected(bank[:2], bank[2:], real=6, config=config)
    np.testing.assert_allclose(without.displacement, whole.anchors[:2], rtol=1e-12)


def test_twins_do_not_set_the_spacing():
    images = latents(0, 4)
    twins = np.repeat(images, 2, axis=0) + 1e-3 * latents(1, 8)
    done = corrected(latents(2, 2), twins, real=8)
    apart = np.linalg.norm((images[:, None] - images[None]).reshape(4, 4, -1), axis=2)
    nearest = np.where(np.eye(4, dtype=bool), np.inf, apart).min(axis=1)
    assert done.spacing == pytest.approx(np.median(nearest), abs=0.02)


@given(seeds, configs)
def test_parents_are_rows_that_may_be_neighbours(seed: int, config: Correct):
    """With real references the refined rows might as well not be there."""
    z, bank = latents(seed, 5), latents(seed + 1, 12)
    done = corrected(z, bank, real=8, config=config)
    near = bank.reshape(12, -1).astype(np.float64)
    far = z.reshape(5, -1).astype(np.float64)
    if config.operator == "slerp":
        cost = -(far @ near.T) / np.linalg.norm(near, axis=1)
    else:
        cost = np.linalg.norm(far[:, None] - near, axis=2)
    if config.references == "real":
        cost[:, 8:] = np.inf
        alone = corrected(z, bank[:8], real=8, config=config)
        np.testing.assert_array_equal(done.latents, alone.latents)
    np.testing.assert_array_equal(done.parents, np.argsort(cost, axis=1)[:, :3])


@given(seeds, configs)
def test_neither_memory_nor_where_latents_lie_changes_a_bit(seed: int, config: Correct):
    z, bank = latents(seed, 9), latents(seed + 1, 12)
    real, group = np.arange(12) < 8, np.arange(12) // 2
    whole = measure(z, bank, real, group, config, 0.5)
    with tempfile.TemporaryDirectory() as folder:
        room = Room(0, Path(folder))
        z_rows, bank_rows = room.empty(z.shape), room.empty(bank.shape)
        z_rows[:], bank_rows[:] = z, bank
        small = measure(z_rows, bank_rows, real, group, config, 0.5, memory=1, room=room)
        assert small.latents.tobytes() == whole.latents.tobytes()
    for name in ("parents", "weights", "displacement", "novelty", "anchors"):
        assert getattr(small, name).tobytes() == getattr(whole, name).tobytes(), name
    assert small.spacing == whole.spacing


@given(seeds, configs, st.integers(1, 4))
def test_blocks_change_nothing_but_rounding(seed: int, config: Correct, rows: int):
    z, bank = latents(seed, 9), latents(seed + 1, 12)
    arguments = (z, bank, np.arange(12) < 8, np.arange(12) // 2, config, 0.5)
    whole = measure(*arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correction, "BLOCK_BYTES", rows * 8 * config.neighbours * z[0].size)
        parts = measure(*arguments)
    for name in ("latents", "weights", "displacement", "anchors"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), 1e-6, 1e-6)


LOCAL = CONFIG.model_copy(
    update={"operator": "tangent", "window": 2, "reach": 1, "references": "real"}
)


def squares(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 2, 4, 4), np.float32)


@given(seeds)
def test_one_window_as_large_as_a_latent_is_the_latent(seed: int):
    z, bank = squares(seed, 4), squares(seed + 1, 10)
    whole = corrected(z, bank, real=8, config=LOCAL.model_copy(update={"window": None}))
    local = corrected(z, bank, real=8, config=LOCAL.model_copy(update={"window": 4}))
    np.testing.assert_allclose(local.latents, whole.latents, rtol=1e-6)
    np.testing.assert_allclose(local.displacement, whole.displacement, rtol=1e-5)
    np.testing.assert_allclose(local.anchors, whole.anchors, rtol=1e-5)
    np.testing.assert_array_equal(np.sort(local.parents), np.sort(whole.parents))


@given(seeds)
def test_windows_are_corrected_one_by_one_and_averaged_where_they_overlap(seed: int):
    z, bank = squares(seed, 3), squares(seed + 1, 10)
    total, times = np.zeros(z.shape), np.zeros((4, 4))
    alone = LOCAL.model_copy(update={"window": None})
    for window in windows.cover(4, 4, 2, reach=0):
        done = corrected(window.of(z).copy(), window.of(bank[:8]).copy(), 8, config=alone)
        window.of(total)[...] += done.latents
        window.of(times[None, None])[...] += 1
    local = corrected(z, bank, real=8, config=LOCAL.model_copy(update={"reach": 0}))
    np.testing.assert_allclose(local.latents, total / times, rtol=1e-5, atol=1e-6)


@given(seeds)
def test_a_mosaic_of_real_squares_is_left_alone(seed: int):
    """Each quarter is another image's, at its place: no square of it stands off the real ones."""
    bank = squares(seed, 12)
    z = bank[:1].copy()
    z[:, :, :2, 2:], z[:, :, 2:, :2] = bank[2:3, :, :2, 2:], bank[4:5, :, 2:, :2]
    apart = LOCAL.model_copy(update={"neighbours": 1, "dimensions": 0, "window": 2, "reach": 0})
    z_near = corrected(z, bank, real=12, lambda_=1, config=apart)
    corners = np.s_[:, :, ::3, ::3]  # where no other square overlaps
    np.testing.assert_allclose(z_near.latents[corners], z[corners], atol=1e-6)
    whole = corrected(z, bank, 12, 1, apart.model_copy(update={"window": None}))
    assert z_near.displacement[0] < whole.displacement[0]


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"correct.window = 5: the latents are only 4 wide; lower"):
        corrected(squares(0, 2), squares(1, 9), 8, config=LOCAL.model_copy(update={"window": 5}))
