"""The state of an autoencoder's training on disk: whole, or refused. Resumption: test_training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import foreign
import pytest
import torch

from lirf import params
from lirf.autoencoder import model as ae
from lirf.autoencoder import state as states
from lirf.autoencoder.frame import Frame

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
DEFAULT = params.load(Path(__file__).parents[3] / "params.yaml").autoencoder


def begin(**changes: Any) -> states.State:
    small = {"latent_channels": 2, "widths": (4, 8), "batch": 8}
    config = DEFAULT.model_copy(update=small | changes)
    return states.initial(config, ae.build(config, 1, 8), CPU)


def test_small_batches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"autoencoder.batch = 3"):
        begin(batch=3)


@pytest.mark.parametrize("name", [states.TENSORS, states.DOCUMENT])
def test_damaged_and_foreign_states_are_refused(tmp_path: Path, name: str) -> None:
    states.save(begin(), tmp_path / "a")
    with pytest.raises(ValueError, match=r"not the tensors of this autoencoder"):
        states.load(begin(widths=(4, 4)), tmp_path / "a")
    content = (tmp_path / "a" / name).read_bytes()
    (tmp_path / "a" / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=rf"{name}: damaged"):
        states.load(begin(), tmp_path / "a")


def test_only_what_is_trained_is_kept(tmp_path: Path) -> None:
    config = DEFAULT.model_copy(update={"pretrained": "others", "finetune": "decoder"})
    state = states.initial(config, ae.Framed(foreign.make("AutoencoderTiny"), Frame(3)), CPU)
    assert state.weights
    assert all(name.startswith("model.decoder.") for name in state.weights)


def test_the_last_of_the_best_is_kept_and_comes_back(tmp_path: Path) -> None:
    state = begin(holdout=0.1)
    weight = state.trained["encoder.conv_in.weight"]
    for loss, value in ((0.5, 1.0), (0.3, 2.0), (0.3, 3.0), (0.4, 4.0)):
        with torch.no_grad():
            weight.fill_(value)
        state.keep_if_best(loss)
    states.save(state, tmp_path / "a")
    again = states.load(begin(holdout=0.1), tmp_path / "a")
    assert again.looks == [0.5, 0.3, 0.3, 0.4]
    assert bool((again.trained["encoder.conv_in.weight"] == 4).all())
    again.finished()
    assert bool((again.trained["encoder.conv_in.weight"] == 3).all())


def test_while_the_end_is_looked_at_the_average_stands_in_the_model() -> None:
    state = begin(ema_decay=0.9)
    weight = state.trained["encoder.conv_in.weight"]
    state.average["encoder.conv_in.weight"].fill_(7)
    before = weight.detach().clone()
    with state.ending():
        assert bool((weight == 7).all())
    assert torch.equal(weight, before)
