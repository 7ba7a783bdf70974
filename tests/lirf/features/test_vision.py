"""Patches of a vision transformer: what they are, and what is said where there are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lirf import params
from lirf.features import features, vision
from lirf.store import files


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


def seer(weights: Path | None, **changes: Any) -> vision.Vision:
    chosen = {"model": "test_vit", "weights": None if weights is None else str(weights)}
    config = params.Vision.model_validate({**chosen, "resolution": 64, **changes})
    return vision.load(config, False, torch.device("cpu"))


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
    one, three = (features.of("vision", eye=seer(weights), batch=batch) for batch in (1, 3))
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
