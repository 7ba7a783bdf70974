"""Shares of a batch are the batch; and on a GPU nothing waits for them."""

from pathlib import Path

import pytest
import torch

from lirf import params
from lirf.networks.condition import Condition
from lirf.store.space import Space
from lirf.training import loop
from lirf.training import state as states
from lirf.training.batches import Augmented, Batch, Share, batch_sampler

LOADED = params.load(Path(__file__).parents[3] / "params.yaml")
OPTIONS = {"batch": 12, "augment_share": 0.3, "jitter": 0.1, "real_share": 0.3}


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
