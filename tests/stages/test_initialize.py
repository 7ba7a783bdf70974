"""The untrained network fits its bank and does not depend on anything else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from written import write_rows

from lirf import params
from lirf.images import transforms
from lirf.objectives.rectified import Rectified
from lirf.store.space import Space
from lirf.training import checkpoint
from stages.initialize import initialize
from stages.support.command import Out

NUMBERS = params.load(Path(__file__).parents[2] / "params.yaml")
SPACE = Space("f00d", (2, 4, 4), (0.0, 1.0), (1.0, 2.0))


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    latents = np.random.default_rng(0).standard_normal((6, *SPACE.shape), np.float32)
    return write_rows(tmp_path / "bank", latents, SPACE)


def test_it_writes_an_untrained_state_for_the_bank_s_space(tmp_path: Path, bank: Path):
    initialize(NUMBERS, bank, Out(tmp_path / "a"))
    initialize(NUMBERS, bank, Out(tmp_path / "b"))
    state = checkpoint.load(tmp_path / "a", torch.device("cpu"))
    assert state.step == 0
    assert state.space == SPACE
    assert state.objective == Rectified(NUMBERS.initialize.prediction)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_the_network_takes_labels_where_augmented_images_are_drawn(tmp_path: Path, bank: Path):
    section = NUMBERS.train.model_copy(update={"augment_share": 0.1})
    initialize(NUMBERS, bank, Out(tmp_path / "plain"))
    initialize(NUMBERS.model_copy(update={"train": section}), bank, Out(tmp_path / "told"))
    configs = [checkpoint.read_document(tmp_path / name)["network"] for name in ("plain", "told")]
    assert configs[1] == {**configs[0], "labels": len(transforms.LABELS)}


def test_a_patch_that_does_not_fit_is_named(tmp_path: Path, bank: Path):
    network = params.Transformer(kind="transformer", patch=3, width=16, depth=1, heads=2)
    section = NUMBERS.initialize.model_copy(update={"network": network})
    numbers = NUMBERS.model_copy(update={"initialize": section})
    with pytest.raises(ValueError, match=r"^initialize\.network\.patch = 3: must divide"):
        initialize(numbers, bank, Out(tmp_path / "a"))
