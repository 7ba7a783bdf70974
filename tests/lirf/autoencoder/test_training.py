"""Training of the autoencoder on tiny sizes: what it learns, and that it can be cut anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import foreign
import numpy as np
import pytest
import torch
from torch import nn

from lirf import params
from lirf.autoencoder import kinds, pairs, training
from lirf.autoencoder import model as ae
from lirf.autoencoder import state as states
from lirf.autoencoder.frame import Frame
from lirf.autoencoder.losses import BLIND, Eyes
from lirf.features import imagenet
from lirf.features.vision import Vision

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
DEFAULT = params.load(Path(__file__).parents[3] / "params.yaml").autoencoder
SMALL = {"latent_channels": 2, "widths": (4, 8), "steps": 30, "batch": 8, "manifold_neighbours": 3,
    "perceptual": "vision",
}  # fmt: skip


def tiny(**changes: Any) -> params.Autoencoder:
    return DEFAULT.model_copy(update={**SMALL, **changes})


def pictures(count: int = 12, channels: int = 1, side: int = 8, seed: int = 0) -> np.ndarray:
    """Return smooth random pictures, uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, channels, side // 4, side // 4), dtype=np.uint8)
    return coarse.repeat(4, axis=2).repeat(4, axis=3)


class Eye(nn.Module):
    """Patch features of a frozen random convolution, in the shape of timm's transformers."""

    num_prefix_tokens = 1
    pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.patches = nn.Conv2d(3, 6, 4, 4).requires_grad_(False)

    def forward_features(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x_BCHW).flatten(2).transpose(1, 2)
        return torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)


BY_VISION = params.Align(by="vision", weight=0.5, margin=0.5, width=16)


def eyes() -> Eyes:
    return Eyes(Vision(Eye(), "e" * 64, side=16, width=6))


def begin(config: params.Autoencoder, images: np.ndarray, seen: Eyes) -> states.State:
    return states.initial(config, ae.build(config, *images.shape[1:3]), CPU, seen)


def advance(
    state: states.State,
    config: params.Autoencoder,
    images: np.ndarray,
    steps: int,
    seen: Eyes = BLIND,
) -> list[dict[str, float]]:
    examples = training.gather(config, images, np.arange(len(images)))
    return list(training.train(state, examples, config, steps, seen))


def trained(
    config: params.Autoencoder, images: np.ndarray, seen: Eyes = BLIND
) -> tuple[states.State, list[dict[str, float]]]:
    state = begin(config, images, seen)
    return state, advance(state, config, images, config.steps, seen)


def same(one: states.State, other: states.State) -> bool:
    models = (state.finished().model.parameters() for state in (one, other))
    return all(torch.equal(a, b) for a, b in zip(*models, strict=True))


def falls(curve: list[dict[str, float]], name: str, share: float) -> bool:
    tenth = len(curve) // 10
    first, last = (np.mean([row[name] for row in part]) for part in (curve[:tenth], curve[-tenth:]))
    return bool(last < share * first)


def test_training_learns_to_reconstruct_and_to_keep_distances() -> None:
    config = tiny(steps=100, widths=(8, 16), latent_channels=4, manifold_weight=1.0)
    _, curve = trained(config, pictures())
    assert len(curve) == 100
    assert list(curve[0]) == ["reconstruction", "kl", "manifold"]
    assert falls(curve, "reconstruction", 0.7)
    assert falls(curve, "manifold", 0.5)


def test_alignment_and_features_fall_where_they_are_asked_for() -> None:
    align = BY_VISION.model_copy(update={"margin": 0.1})
    config = tiny(
        steps=100, alignment="features", align=align, feature_weight=0.5,
        widths=(8, 16),
    )  # fmt: skip
    _, curve = trained(config, pictures(), eyes())
    for name in ("reconstruction", "feature", "alignment"):
        assert falls(curve, name, 0.7), name


def test_latents_are_aligned_to_the_network_that_was_asked_for() -> None:
    align = BY_VISION.model_copy(update={"by": "imagenet", "margin": 0.0})
    config = tiny(steps=40, alignment="features", align=align, widths=(8, 16))
    assert (config.sees("imagenet"), config.sees("vision")) == (True, False)
    both = Eyes(eyes().vision, imagenet.load(CPU))
    state, curve = trained(config, pictures(channels=3, side=16), both)
    assert falls(curve, "alignment", 0.8)
    x_BCHW = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seen_BFhw = both.followed("imagenet").patches(x_BCHW)
    assert seen_BFhw.shape == (2, both.followed("imagenet").width, 8, 8)
    assert state.head is not None
    mapped_BFHW = state.head(kinds.posterior(state.framed.model, x_BCHW).mean)
    assert mapped_BFHW.shape[1] == seen_BFhw.shape[1]


def test_plain_is_manifold_without_weight_and_not_manifold() -> None:
    images = pictures()
    plain, none, kept = (
        trained(tiny(steps=4, alignment=kind, manifold_weight=weight), images)[0]
        for kind, weight in (("none", 0.5), ("manifold", 0.0), ("manifold", 0.5))
    )
    assert same(plain, none)
    assert not same(plain, kept)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reconstruction": "l2", "ema_decay": 0.9},
        {"alignment": "features", "align": BY_VISION, "feature_weight": 0.3, "ema_decay": 0.9},
        {"precision": "bfloat16", "flip": True, "enlarge": 2},
        {"holdout": 0.2, "ema_decay": 0.9, "steps": 45},
    ],
)
def test_cut_anywhere_saved_and_loaded_it_is_the_same(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    images, config = pictures(), tiny(**{"steps": 8, **changes})
    seen = eyes() if config.sees("vision") else BLIND
    whole, curve = trained(config, images, seen)
    for cut in (0, 1, 5):
        first = begin(config, images, seen)
        before = advance(first, config, images, cut, seen)
        states.save(first, tmp_path / f"{cut}")
        second = states.load(begin(config, images, seen), tmp_path / f"{cut}")
        states.save(second, tmp_path / f"{cut}-again")
        for name in (states.TENSORS, states.DOCUMENT):
            bytes_ = [(tmp_path / one / name).read_bytes() for one in (f"{cut}", f"{cut}-again")]
            assert bytes_[0] == bytes_[1]
        after = advance(second, config, images, config.steps - cut, seen)
        assert before + after == curve
        assert second.step == whole.step == config.steps
        assert second.looks == whole.looks
        assert same(second, whole)


def test_the_average_lags_behind_the_weights() -> None:
    images = pictures()
    last, average = (trained(tiny(steps=6, ema_decay=decay), images)[0] for decay in (0.0, 0.99))
    kept = dict(average.average)
    assert not same(last, average)
    for name, weight in average.framed.model.named_parameters():
        assert torch.equal(weight, kept[name])


def test_a_share_of_the_images_is_set_aside_and_not_trained_on() -> None:
    images = np.concatenate([pictures(), pictures(seed=1)])
    examples = training.gather(tiny(holdout=0.25), images, np.arange(24))
    seen, aside = ({one.tobytes() for one in part} for part in (examples.images, examples.aside))
    assert (len(seen), len(aside), len(seen | aside)) == (18, 6, 24)
    assert len(training.gather(tiny(), images, np.arange(24)).aside) == 0


def test_the_weights_that_did_best_on_images_set_aside_are_kept() -> None:
    dark, config = pictures() // 4, tiny(steps=40, holdout=0.25, kl_weight=0.0)
    neighbours = pairs.neighbours(dark, config.manifold_neighbours)
    examples = training.Examples(dark, neighbours, 255 - dark)  # training leads away from these
    state = begin(config, dark, BLIND)
    curve = list(training.train(state, examples, config, config.steps))
    assert [row["aside"] for row in curve[1::2]] == state.looks[1:]

    def loss(model: ae.Framed) -> float:
        error = ae.round_trip(model, examples.aside, 8, CPU).astype(float) - examples.aside
        return float(np.abs(error).mean() / 127.5)

    assert state.looks[-1] > min(state.looks) + 0.1
    assert loss(state.framed) == pytest.approx(state.looks[-1], abs=0.05)
    assert loss(state.finished()) == pytest.approx(min(state.looks), abs=0.05)


@pytest.mark.parametrize("name", foreign.NAMES)
@pytest.mark.parametrize("part", ["decoder", "all"])
def test_any_kind_is_trained_further_in_part_or_all(name: str, part: str) -> None:
    images = pictures(side=16)
    config = tiny(steps=12, finetune=part, pretrained="others", learning_rate=1e-3, enlarge=2)
    framed = ae.Framed(foreign.make(name), Frame(1, 2))
    before = {key: weight.clone() for key, weight in framed.model.named_parameters()}
    latents = ae.encode(framed, images, 12, CPU)
    state = states.initial(config, framed, CPU)
    curve = advance(state, config, images, config.steps)
    assert curve[-1]["reconstruction"] < curve[0]["reconstruction"]
    assert ("commitment" in curve[0]) is (name == "VQModel")
    moved = {
        key.split(".")[0]
        for key, weight in state.finished().model.named_parameters()
        if not torch.equal(weight, before[key])
    }
    assert moved >= {"decoder"}
    assert ("encoder" in moved) is (part == "all")
    away = np.abs(ae.encode(state.framed, images, 12, CPU) - latents).max()
    assert bool(away < 1e-5) is (part == "decoder")


def test_a_fitted_autoencoder_follows_a_transformer() -> None:
    images, config = (
        pictures(side=16),
        tiny(steps=2, finetune="all", pretrained="o", alignment="features", align=BY_VISION),
    )
    for name in foreign.NAMES:
        state = states.initial(config, ae.Framed(foreign.make(name, 1), Frame(1)), CPU, eyes())
        assert "alignment" in advance(state, config, images, 2, eyes())[0]


def test_same_seed_same_weights_whatever_the_global_generator() -> None:
    ends = []
    for i, seed in enumerate([0, 0, 1]):
        torch.manual_seed(i)
        ends.append(trained(tiny(steps=3, seed=seed), pictures())[0])
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


def test_a_loss_that_is_not_finite_names_its_step() -> None:
    config, images = tiny(), pictures()
    state = begin(config, images, BLIND)
    advance(state, config, images, 2)
    with torch.no_grad():
        state.trained["encoder.conv_in.weight"].fill_(float("nan"))
    with pytest.raises(ValueError, match=r"loss is nan at step 3; lower autoencoder.learning_rate"):
        advance(state, config, images, 1)


@pytest.mark.parametrize(
    ("side", "channels", "latent", "widths"),
    [(8, 1, 1, (4,)), (8, 3, 16, (4, 4)), (64, 3, 4, (4,) * 4), (512, 1, 2, (4,) * 6)],
)
def test_sizes_and_channels(side: int, channels: int, latent: int, widths: tuple[int, ...]) -> None:
    images = pictures(5, channels, side)
    config = tiny(steps=1, batch=4, latent_channels=latent, widths=widths)
    state, _ = trained(config, images)
    model = state.finished()
    small = side // 2 ** (len(widths) - 1)
    assert ae.encode(model, images, 2, CPU).shape == (5, latent, small, small)
