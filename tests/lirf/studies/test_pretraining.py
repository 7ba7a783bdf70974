"""The autoencoder that ships: its crops, its training, and that it is the same every time."""

import numpy as np
import pytest
import torch
from PIL import Image

from lirf.images import bundled
from lirf.params import Pretrain, validate
from lirf.studies import pretraining
from lirf.studies.pretraining import Photographs

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = Pretrain(
    seed=3, width=4, blocks=(0, 1), latent_channels=2, side=16, steps=4, batch=2,
    learning_rate=1e-3, ema_decay=0.9, feature_weight=0.5, featured=1, noise=0.1, shrunk=0.5,
    pull=1e-3,
)  # fmt: skip


def photographs(side: int = 16) -> Photographs:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 60, 40, 3), np.uint8)
    return Photographs.at_sizes(
        [(1.0, Image.fromarray(pixels[0])), (3.0, Image.fromarray(pixels[1]))], side
    )


def test_a_photograph_comes_at_all_sizes_that_a_crop_fits_into():
    found = photographs()
    shapes = [level.shape[:2] for level in found.levels]
    assert shapes == [(60, 40), (42, 28)] * 2, "at half of its size it is 20 px wide, too few"
    assert found.shares == pytest.approx([1 / 8, 1 / 8, 3 / 8, 3 / 8])


def test_crops_are_signals_and_vary():
    crops_BCHW = photographs().crops(30, 16, np.random.default_rng(1))
    assert crops_BCHW.shape == (30, 3, 16, 16)
    assert crops_BCHW.dtype == torch.float32
    assert crops_BCHW.min() >= -1
    assert crops_BCHW.max() <= 1
    assert len(crops_BCHW.unique(dim=0)) == 30
    grey_B = (crops_BCHW == crops_BCHW[:, :1]).flatten(1).all(dim=1)
    assert 0 < grey_B.sum() < 15


def trained(config: Pretrain = TINY) -> tuple[pretraining.Training, list[dict[str, float]]]:
    training = pretraining.begin(config)
    return training, list(pretraining.train(training, photographs(), config))


def test_the_same_seed_gives_the_same_bits_and_nothing_else_is_drawn_from():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    one, losses = trained()
    assert torch.equal(torch.rand(3), expected)
    other, again = trained()
    assert losses == again
    assert len(losses) == TINY.steps
    for name, weight in one.average.items():
        assert torch.equal(weight, other.average[name])
    assert losses != trained(TINY.model_copy(update={"seed": 4}))[1]


def test_what_is_finished_has_the_average_weights():
    training, _ = trained()
    last = {name: weight.clone() for name, weight in training.model.named_parameters()}
    model = training.finished()
    moved = 0
    for name, weight in model.named_parameters():
        assert torch.equal(weight, training.average[name])
        moved += not torch.equal(weight, last[name])
    assert moved
    assert model.decoder(torch.zeros(1, 2, 8, 8)).shape == (1, 3, 16, 16)


def test_it_learns():
    longer = TINY.model_copy(update={"steps": 60, "batch": 4, "learning_rate": 1e-2})
    _, losses = trained(longer)
    assert losses[-1]["reconstruction"] < 0.7 * losses[0]["reconstruction"]


def test_a_loss_that_is_not_finite_names_the_key():
    training = pretraining.begin(TINY)
    next(training.model.encoder.parameters()).data.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"loss is nan at step 1; lower pretrain.learning_rate"):
        next(pretraining.train(training, photographs(), TINY))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"featured": 3}, "pretrain.featured = 3: must not exceed pretrain.batch = 2"),
        ({"side": 17}, "pretrain.side = 17: not divisible by 2"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(change, error):
    with pytest.raises(ValueError, match=error):
        validate(Pretrain, TINY.model_dump() | change, "params.yaml: pretrain")


def test_the_photographs_are_those_of_the_packages():
    found = bundled.photographs()
    assert [weight for weight, _ in found] == list(bundled.PHOTOGRAPHS.values())
    assert {picture.mode for _, picture in found} == {"RGB"}
    assert min(min(picture.size) for _, picture in found) >= 300
