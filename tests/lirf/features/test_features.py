"""Feature spaces: shapes, ranges, and what they say about themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lirf import params
from lirf.features import features
from lirf.store import files

IMAGES = arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.just(4), st.just(5))
)


@given(IMAGES)
def test_pixels_are_the_image(images):
    space = features.pixels()
    found = space.extract(images)
    assert (space.name, space.hash) == ("pixels", None)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(np.rint(found * 255).reshape(images.shape), images)


def test_pixels_lie_between_zero_and_one():
    np.testing.assert_array_equal(
        features.pixels().extract(np.array([[[[0, 51, 255]]]], np.uint8)), [[0, 0.2, 1]]
    )


def test_pixels_refuse_images_that_are_not_bytes():
    with pytest.raises(ValueError, match="uint8, got float32"):
        features.pixels().extract(np.zeros((1, 1, 2, 2), np.float32))


def test_latents_are_what_the_encoder_makes_flattened():
    def encode(images):
        return np.stack([images.sum(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))], axis=1)[
            :, :, None, None
        ].astype(np.float32)

    space = features.latents("abc123", encode)
    found = space.extract(np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2))
    assert (space.name, space.hash) == ("latents", "abc123")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[6, 3], [22, 7]])


@given(IMAGES)
def test_mirroring_turns_left_and_right_around_and_twice_is_nothing(images):
    mirrored = features.mirror(images)
    np.testing.assert_array_equal(mirrored[..., 0], images[..., -1])
    np.testing.assert_array_equal(features.mirror(mirrored), images)


def test_edges_see_shapes_and_forgive_brightness():
    space = features.edges()
    for side, channels in ((8, 1), (9, 3), (16, 1), (64, 3)):
        rng = np.random.default_rng(side)
        images = rng.integers(0, 128, (3, channels, side, side), np.uint8)
        found = space.extract(images)
        assert found.dtype == np.float64
        assert found.shape == space.extract(images[:, :1]).shape
        np.testing.assert_allclose(space.extract(images + 100), found, atol=1e-6)
        assert np.abs(space.extract(images[..., ::-1]) - found).max() > 0.01


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a tiny transformer that was never trained."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=10)
    path = tmp_path_factory.mktemp("vision") / "tiny.safetensors"
    save_file(model.state_dict(), path)
    return path


def seer(weights: Path | None, **changes: Any) -> features.Vision:
    chosen = {"model": "test_vit", "weights": None if weights is None else str(weights)}
    config = params.Vision.model_validate({**chosen, "resolution": 64, **changes})
    return features.vision(config, False, torch.device("cpu"))


def test_patches_are_those_of_the_transformer(weights: Path):
    import timm
    from safetensors.torch import load_file

    model: Any = timm.create_model("test_vit", num_classes=10, img_size=64).eval()
    found = seer(weights)
    assert (found.side, found.hash) == (64, files.sha256(weights))
    state = timm.models.vision_transformer.checkpoint_filter_fn(load_file(weights), model)
    model.load_state_dict(state)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mean, std = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        tokens = model.forward_features(((x + 1) / 2 - mean) / std)[:, model.num_prefix_tokens :]
        patches = found.patches(x)
    assert patches.shape == (2, found.width, 4, 4)
    torch.testing.assert_close(
        patches, tokens.transpose(1, 2).reshape(patches.shape), rtol=1e-3, atol=1e-3
    )


def test_patches_of_grey_images_of_any_size_have_a_gradient(weights: Path):
    x = torch.zeros(1, 1, 8, 8, requires_grad=True)
    seer(weights).patches(x).square().mean().backward()
    assert x.grad is not None
    assert not any(weight.requires_grad for weight in seer(weights).model.parameters())


def test_the_mean_patch_does_not_depend_on_the_batch(weights: Path):
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), np.uint8)
    one, three = (features.patches(seer(weights), batch) for batch in (1, 3))
    np.testing.assert_allclose(one.extract(images), three.extract(images), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(one.extract(images), axis=1), 1, atol=1e-5)
    assert (one.name, one.hash) == ("patches", files.sha256(weights))
    assert len(one.extract(images[:0])) == 0


def test_what_is_missing_is_said_with_the_file_to_put_where(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ValueError,
        match=r"^autoencoder.vision: timm/test_vit.r160_in1k: not in the hub's cache; put its"
        r" model.safetensors anywhere and name it in autoencoder.vision.weights, or set auto",
    ):
        seer(None)
    with pytest.raises(ValueError, match=r"weights = .*nowhere.safetensors: no such file"):
        seer(tmp_path / "nowhere.safetensors")
    with pytest.raises(ValueError, match=r"vision.model = no_such_model: timm knows no weights"):
        seer(None, model="no_such_model")


def test_weights_and_models_that_do_not_fit_are_refused(weights: Path, tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"tiny.safetensors does not make a vision transformer vit"
    ):
        seer(weights, model="vit_tiny_patch16_224")
    with pytest.raises(ValueError, match=r"does not make a vision transformer resnet18"):
        seer(weights, model="resnet18")
    with pytest.raises(ValueError, match=r"vision.resolution = 70: must be a multiple of 16"):
        seer(weights, resolution=70)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"broken.safetensors does not make a vision transformer"):
        seer(broken)
