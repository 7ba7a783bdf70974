"""What is measured of an autoencoder: of both splits, and in which shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lirf import params
from lirf.autoencoder import judge, midpoints, quality
from lirf.autoencoder import model as ae
from lirf.features import features
from lirf.images import transforms

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> ae.Autoencoder:
    """Return an autoencoder that was never trained."""
    whole = params.load(Path(__file__).parents[3] / "params.yaml").autoencoder
    folder = tmp_path_factory.mktemp("judge")
    ae.save(ae.build(whole.model_copy(update={"widths": (4, 8)}), 1, 8), folder)
    return ae.load(folder, CPU)


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8), np.uint8)


def test_both_splits_are_measured_and_rebuilt(saved: ae.Autoencoder) -> None:
    real = judge.Images(pixels(12, 0), pixels(5, 1), np.arange(12))
    found = judge.judge(saved, real, features.of("pixels"), 3, 4, CPU)
    results = found.results
    assert {name: len(images) for name, images in found.rebuilt.items()} == {
        "train": 12, "heldout": 5
    }  # fmt: skip
    assert results["psnr_heldout"] == quality.psnr(real.heldout, found.rebuilt["heldout"])
    assert results["psnr_gap"] == results["psnr_train"] - results["psnr_heldout"]
    assert results["midpoint_distance"] > 0
    assert results["n_midpoints"] == len(midpoints.pairs(real.train, real.groups, 3))
    assert found.strips.shape == (judge.STRIPS, len(midpoints.STRIP) + 2, 1, 8, 8)


def test_strips_lead_from_an_image_to_one_of_another_group(saved: ae.Autoencoder) -> None:
    one = pixels(4, 0)
    both = np.concatenate([one, transforms.mirror(one)])
    real = judge.Images(both, both[:0], np.arange(8) % 4)
    found = judge.judge(saved, real, features.of("pixels"), 2, 4, CPU)
    assert list(found.rebuilt) == ["train"]
    assert not [name for name in found.results if "midpoint_" in name or "psnr_held" in name]
    for strip in found.strips:
        first, last = (
            next(i for i in range(8) if (both[i] == end).all()) for end in (strip[0], strip[-1])
        )
        assert first % 4 != last % 4
