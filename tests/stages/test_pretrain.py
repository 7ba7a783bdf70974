"""The stage `pretrain` writes what `autoencoder.pretrained` takes."""

from pathlib import Path

import pytest
import torch

from lirf import params as settings
from lirf.autoencoder import kinds, layout, pretrained
from stages.pretrain import pretrain
from stages.support.command import Out

ROOT = Path(__file__).parents[2]
NUMBERS = settings.load_study(
    settings.PretrainParams, ROOT / "params.yaml", ROOT / "pipeline" / "studies" / "pretrain.yaml"
)
SMALL = {"width": 4, "blocks": (0, 1), "steps": 2, "batch": 2, "featured": 1, "side": 32}


@pytest.mark.usefixtures("one_thread")
def test_what_it_writes_can_be_begun_with(tmp_path: Path):
    config = NUMBERS.pretrain.model_copy(update=SMALL)
    numbers = NUMBERS.model_copy(update={"pretrain": config})
    for name in ("start", "again"):
        pretrain(numbers, Out(tmp_path / name))
    for file in (layout.CONFIG, layout.WEIGHTS):
        one, other = ((tmp_path / name / file).read_bytes() for name in ("start", "again"))
        assert one == other
    section = NUMBERS.autoencoder.model_copy(update={"pretrained": str(tmp_path / "start")})
    model = pretrained.load(section, 3, 32).model
    assert kinds.factor(model) == 2
    assert kinds.latent_channels(model) == config.latent_channels
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
