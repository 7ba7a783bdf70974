"""Shares of a batch are the batch; and on a GPU nothing waits for them."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lirf import params
from lirf.networks.condition import Condition
from lirf.store.space import Space
from lirf.training import loop
from lirf.training import state as states
from lirf.training.batches import Augmented, Batch, Share, batch_sampler

LOADED = params.load(Path(__file__).parents[3] / "params.yaml")
OPTIONS = {
    "batch": 12,
    "augment_share": 0.3,
    "jitter": 0.1,
    "real_share": 0.3,
    "refined_t_max": 0.3,
}


@pytest.mark.parametrize("options", [{"batch": 12}, OPTIONS])
def test_the_shares_of_a_batch_are_the_batch(options: dict[str, float]):
    config = LOADED.train.model_copy(update=options)
    latents, real = torch.randn(9, 2, 2, 2), torch.arange(9) < 4
    augmented = Augmented(torch.randn(5, 2, 2, 2), torch.randn(5, 3))

    def batches(share: Share | None) -> list[tuple[torch.Tensor | None, ...]]:
        generator = torch.Generator().manual_seed(7)
        draw = batch_sampler(latents, config, 3, generator, augmented, real, share)
        drawn = (draw() for _ in range(3))
        return [(one.x0, one.x1, one.t, one.condition.augmentation) for one in drawn]

    shares = [batches(Share(place, 3, lambda _: None)) for place in range(3)]
    for whole, *parts in zip(batches(None), *shares, strict=True):
        for one, pieces in zip(whole, zip(*parts, strict=True), strict=True):
            assert one is not None
            assert [len(piece) for piece in pieces] == [4, 4, 4]
            assert torch.equal(torch.cat(pieces), one)


@given(st.floats(0.01, 1), st.sampled_from(["uniform", "logit-normal"]), st.integers(0, 2**32))
def test_refined_rows_alone_are_trained_on_at_early_times(most: float, times: str, seed: int):
    """Rows and noise are those of times without a limit, and so are all other rows' times."""
    latents, real = torch.arange(9.0).view(9, 1, 1, 1), torch.arange(9) < 4
    augmented = Augmented(torch.full((1, 1, 1, 1), -1.0), torch.ones(1, 3))
    options = {"batch": 64, "augment_share": 0.3, "real_share": 0.4, "jitter": 0.0, "times": times}

    def draw(limit: float) -> Batch:
        config = LOADED.train.model_copy(update={**options, "refined_t_max": limit})
        generator = torch.Generator().manual_seed(seed)
        return batch_sampler(latents, config, 3, generator, augmented, real)()

    free, limited = draw(1.0), draw(most)
    assert torch.equal(free.x0, limited.x0)
    assert torch.equal(free.x1, limited.x1)
    refined = free.x1[:, 0, 0, 0] > 3
    assert refined.any()
    assert not refined.all()
    assert torch.equal(limited.t[~refined], free.t[~refined])
    assert torch.equal(limited.t[refined], free.t[refined] * most)
    assert limited.t[refined].max() <= most


def test_times_without_a_limit_are_drawn_after_rows_and_noise():
    """Draws that trainings so far have made: an option that is off changes no bit of them."""
    config = LOADED.train.model_copy(update={"batch": 8, "real_share": None, "refined_t_max": 1.0})
    drawn = batch_sampler(
        torch.randn(9, 2, 2, 2),
        config,
        0,
        torch.Generator().manual_seed(3),
        None,
        torch.arange(9) < 4,
    )()
    again = torch.Generator().manual_seed(3)
    torch.randint(9, (8,), generator=again)
    assert torch.equal(drawn.x0, torch.randn(8, 2, 2, 2, generator=again))
    assert torch.equal(drawn.t, torch.rand(8, generator=again))


@pytest.mark.parametrize(
    ("parts", "sizes"), [(1, [7]), (3, [3, 3, 1]), (4, [2, 2, 2, 1]), (7, [1] * 7)]
)
def test_the_parts_of_a_batch_are_the_batch(parts: int, sizes: list[int]):
    label, points = torch.randn(7, 3), torch.randn(7, 2, 2, 2)
    found = list(Batch(points, points + 1, points[:, 0, 0, 0], Condition(label)).split(parts))
    assert [len(part.x0) for part in found] == sizes
    assert torch.equal(torch.cat([part.x1 for part in found]), points + 1)
    labels = [part.condition.augmentation for part in found]
    assert torch.equal(torch.cat([one for one in labels if one is not None]), label)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nothing_waits_for_the_gpu_between_looks_at_the_losses(precision: str):
    where, space = torch.device("cuda"), Space("f00d", (4, 4, 4), (0.0,) * 4, (1.0,) * 4)
    options = {"augment_share": 0.3, "jitter": 0.1, "accumulate": 2, "precision": precision}
    config = LOADED.train.model_copy(update=options)
    state = states.initial(LOADED.initialize, space, where, labels=3)
    latents = torch.randn(9, 4, 4, 4, device=where)
    augmented = Augmented(latents[:5], torch.randn(5, 3, device=where))
    looks = []

    def look() -> bool:
        """Forbid waiting after the first step, which sets things up, up to the look."""
        looks.append(None)
        torch.cuda.set_sync_debug_mode("error" if len(looks) < loop.CHECK_EVERY - 1 else 0)
        return False

    steps = loop.train(state, latents, config, loop.CHECK_EVERY, augmented, interrupted=look)
    try:
        assert len(list(steps)) == loop.CHECK_EVERY
    finally:
        torch.cuda.set_sync_debug_mode(0)
