"""Shares of a batch are the batch; and on a GPU nothing waits for them."""

from pathlib import Path

import pytest
import torch

from lirf import params
from lirf.store.space import Space
from lirf.training import training
from lirf.training.batches import Augmented, Share, drawer

LOADED = params.load(Path(__file__).parents[3] / "params.yaml")
OPTIONS = {"batch": 12, "augment_share": 0.3, "jitter": 0.1, "real_share": 0.3}


@pytest.mark.parametrize("options", [{"batch": 12}, OPTIONS])
def test_the_shares_of_a_batch_are_the_batch(options: dict[str, float]):
    config = LOADED.train.model_copy(update=options)
    latents, real = torch.randn(9, 2, 2, 2), torch.arange(9) < 4
    augmented = Augmented(torch.randn(5, 2, 2, 2), torch.randn(5, 3))

    def batches(share: Share | None) -> list[tuple[torch.Tensor | None, ...]]:
        generator = torch.Generator().manual_seed(7)
        draw = drawer(latents, config, 3, generator, augmented, real, share)
        return [draw() for _ in range(3)]

    shares = [batches(Share(place, 3, lambda _: None)) for place in range(3)]
    for whole, *parts in zip(batches(None), *shares, strict=True):
        for one, pieces in zip(whole, zip(*parts, strict=True), strict=True):
            assert one is not None
            assert [len(piece) for piece in pieces] == [4, 4, 4]
            assert torch.equal(torch.cat(pieces), one)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nothing_waits_for_the_gpu_between_looks_at_the_losses(precision: str):
    where, space = torch.device("cuda"), Space("f00d", (4, 4, 4), (0.0,) * 4, (1.0,) * 4)
    options = {"augment_share": 0.3, "jitter": 0.1, "accumulate": 2, "precision": precision}
    config = LOADED.train.model_copy(update=options)
    state = training.initial(LOADED.initialize, space, where, labels=3)
    latents = torch.randn(9, 4, 4, 4, device=where)
    augmented = Augmented(latents[:5], torch.randn(5, 3, device=where))
    looks = []

    def look() -> bool:
        """Forbid waiting after the first step, which sets things up, up to the look."""
        looks.append(None)
        torch.cuda.set_sync_debug_mode("error" if len(looks) < training.CHECK_EVERY - 1 else 0)
        return False

    steps = training.train(
        state, latents, config, training.CHECK_EVERY, augmented, interrupted=look
    )
    try:
        assert len(list(steps)) == training.CHECK_EVERY
    finally:
        torch.cuda.set_sync_debug_mode(0)
