"""FID's network gives torch-fidelity's features, and says which weights are missing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from lirf.features import features, inception
from lirf.store import files

CPU = torch.device("cpu")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch) -> Path:
    """The folder where torch keeps weights."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_weights_that_are_not_there_are_named_with_their_place(hub: Path):
    with pytest.raises(ValueError, match=rf"{hub / inception.FILE}: missing; put .* there"):
        inception.load(CPU)


def test_damaged_weights_are_refused(hub: Path):
    (hub / inception.FILE).write_bytes(b"not weights")
    with pytest.raises(ValueError, match="damaged, its SHA-256 does not start with 6726825d"):
        inception.load(CPU)


@pytest.mark.slow
def test_features_are_torch_fidelitys(hub: Path, tmp_path: Path, monkeypatch):
    torch.save({}, tmp_path / "none.pth")
    torch.manual_seed(0)
    with monkeypatch.context() as born:  # it keeps the weights that it is born with
        born.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = FeatureExtractorInceptionV3("x", ["2048"], str(tmp_path / "none.pth"))
    torch.save(network.state_dict(), hub / inception.FILE)
    hash_ = files.sha256(hub / inception.FILE)
    monkeypatch.setattr(inception, "START", hash_[:8])
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8)
    space = features.of("inception", device=CPU)
    assert space.hash == hash_
    (expected,) = network(torch.from_numpy(images))
    np.testing.assert_allclose(space.extract(images), expected.numpy(), rtol=1e-4, atol=1e-5)
