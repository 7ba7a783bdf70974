"""The loop in memory is the stages, bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from lirf import params
from lirf.densify import rounds
from lirf.images import transforms
from lirf.store import banks, tables
from lirf.store.space import Space
from lirf.training import checkpoint, loop
from lirf.training import state as states
from lirf.training.batches import Augmented
from lirf.training.state import State
from stages.admit import admit
from stages.correct import correct
from stages.merge import merge
from stages.sample import sample
from stages.support.command import Out
from stages.train import train

CPU = torch.device("cpu")
SPACE = Space("points", (2, 1, 2), (0.0, 1.0), (1.0, 2.0))
LOADED = params.load(Path(__file__).parents[3] / "params.yaml")
IMAGES = 8


def numbers(**change: object) -> params.Params:
    """Return small numbers: two rounds of 30 steps, most candidates admitted, and restored.

    Half of every batch is augmented, as shipped.
    """
    admit = {"rule": "quantile", "quantile": 1.0, "novelty": 0.05, "share": 0.8, "restore": 0.7}
    sections = {
        "device": "cpu",
        "initialize": params.Initialize(
            seed=3, prediction="velocity", network=params.MLP(kind="mlp", width=16, depth=1)
        ),
        "train": LOADED.train.model_copy(update={"batch": 8, "checkpoint_every": 20}),
        "sample": LOADED.sample.model_copy(update={"ratio": 1.5, "batch": 5, "steps": 3}),
        "admit": LOADED.admit.model_copy(update=admit),
        "rounds": {
            "r01": params.Round.model_validate({"after": "r00", "lambda": 0.8}),
            "r02": params.Round.model_validate({"after": "r01", "lambda": 0.3}),
        },
        "models": {
            "r01": params.Model(role="loop", after="r00", steps=30, cooldown=0),
            "r02": params.Model(role="loop", after="r01", steps=30, cooldown=0),
            "final": params.Model(role="loop", after="r02", steps=30, cooldown=25),
        },
    }
    return LOADED.model_copy(update={**sections, **change})


@pytest.fixture
def latents() -> np.ndarray:
    """Return images and their mirrored twins, one after the other."""
    images = np.random.default_rng(0).standard_normal((IMAGES, *SPACE.shape), np.float32)
    return np.stack([images, images[..., ::-1]], axis=1).reshape(-1, *SPACE.shape)


@pytest.fixture
def augmented() -> Augmented:
    random = np.random.default_rng(1)
    versions, labels = (
        torch.from_numpy(random.standard_normal(shape, np.float32))
        for shape in ((5, *SPACE.shape), (5, len(transforms.LABELS)))
    )
    return Augmented(versions, labels)


def start(small: params.Params) -> State:
    """Return the untrained state of a network that takes augmentation labels."""
    return states.initial(small.initialize, SPACE, CPU, len(transforms.LABELS))


def begin(latents: np.ndarray) -> rounds.Bank:
    return rounds.begin(latents, np.arange(len(latents)) // 2)


def write_start(
    folder: Path, latents: np.ndarray, augmented: Augmented, small: params.Params
) -> None:
    """Write bank r00, the augmented latents and the untrained weights."""
    columns = {
        "id": [f"train-{i}" for i in range(len(latents))],
        "round": ["r00"] * len(latents),
        "kind": ["real"] * len(latents),
        "source": [f"{i // 2}.png" for i in range(len(latents))],
    }
    (folder / "r00").mkdir()
    banks.write(folder / "r00" / "bank", "r00", latents, banks.bank_rows(columns), SPACE)
    labels = dict(zip(transforms.LABELS, augmented.labels.numpy().T, strict=True))
    versions = folder / "r00" / "augmented"
    banks.write_latents(versions, augmented.latents.numpy(), pa.table(labels), SPACE)
    checkpoint.save(start(small), folder / "r00" / "weights")


def run_train(small: params.Params, folder: Path, run: str, after: Path) -> None:
    (folder / run).mkdir()
    out = [Out(folder / run / name) for name in ("weights", "loss")]
    augmented = folder / "r00" / "augmented"
    train(small, run, after / "bank", augmented, after / "weights", *out)


def weights(state: State) -> dict[str, torch.Tensor]:
    ema = {f"ema.{name}": tensor for name, tensor in state.ema.state_dict().items()}
    return {**state.network.state_dict(), **state.moments, **ema}


@pytest.mark.parametrize("train_options", [{}, {"start": "fresh", "real_share": 0.5}])
def test_it_equals_the_stages_bit_for_bit(
    tmp_path: Path,
    latents: np.ndarray,
    augmented: Augmented,
    monkeypatch: pytest.MonkeyPatch,
    train_options: dict[str, Any],
):
    monkeypatch.chdir(tmp_path)
    small = numbers()
    small = small.model_copy(update={"train": small.train.model_copy(update=train_options)})
    write_start(tmp_path, latents, augmented, small)
    state = start(small)
    after, sizes = tmp_path / "r00", [len(latents)]
    for turn in rounds.refine(state, begin(latents), small, augmented=augmented):
        run_train(small, tmp_path, turn.name, after)
        here = tmp_path / turn.name
        stored = checkpoint.load(here / "weights", CPU)
        torch.testing.assert_close(weights(turn.state), weights(stored), rtol=0, atol=0)

        sample(small, turn.name, here / "weights", after / "bank", Out(here / "candidates"))
        drawn = banks.read_latents(here / "candidates")
        np.testing.assert_array_equal(turn.candidates, drawn.latents)

        outs = Out(here / "corrected"), Out(here / "anchors")
        correct(small, turn.name, here / "candidates", after / "bank", *outs)
        corrected = banks.read_latents(here / "corrected")
        np.testing.assert_array_equal(turn.corrected.latents, corrected.latents)

        outs = Out(here / "admitted"), Out(here / "decision"), Out(here / "metrics")
        paths = here / "corrected", here / "anchors", after / "bank"
        admit(small, turn.name, *paths, *outs)
        decision, decided = tables.read(here / "decision"), turn.admission.decision
        assert decided.reasons.tolist() == decision["reason"].to_pylist()
        assert {decided.threshold} == set(decision["threshold"].to_pylist())
        assert {decided.floor} == set(decision["floor"].to_pylist())

        merge(small, turn.name, after / "bank", here / "admitted", Out(here / "bank"))
        bank = banks.read(here / "bank")
        np.testing.assert_array_equal(turn.bank.latents, bank.latents)
        assert turn.bank.real.tolist() == [kind == "real" for kind in bank.rows["kind"].to_pylist()]
        after = here
        sizes.append(len(turn.bank.latents))

    assert len(sizes) == 3
    assert sizes[0] < sizes[1] < sizes[2], "or the test has compared nothing"
    run_train(small, tmp_path, "final", after)
    stored = checkpoint.load(tmp_path / "final" / "weights", CPU)
    assert state.step == stored.step == (30 if train_options else 90)
    torch.testing.assert_close(weights(state), weights(stored), rtol=0, atol=0)


def test_a_refined_row_is_of_no_image(latents: np.ndarray):
    grown = rounds.merge(begin(latents), latents[:3])
    assert grown.real.tolist() == [True] * len(latents) + [False] * 3
    assert len(set(grown.group.tolist())) == IMAGES + 3
    assert grown.group[-3:].min() > grown.group[:-3].max()


def test_rounds_that_admit_nothing_end_with_the_weights_of_plain_training(
    latents: np.ndarray, augmented: Augmented
):
    nothing = LOADED.admit.model_copy(update={"rule": "published", "tau": 1e-9})
    small = numbers(admit=nothing)
    state, plain = start(small), start(small)
    turns = rounds.refine(state, begin(latents), small, augmented=augmented)
    assert [len(turn.bank.latents) for turn in turns] == [len(latents)] * 2
    real, schedule = torch.from_numpy(latents), loop.cooldown(90, 25)
    for _ in loop.train(plain, real, small.train, 90, augmented, schedule=schedule):
        pass
    torch.testing.assert_close(weights(state), weights(plain), rtol=0, atol=0)


def test_an_error_names_its_round(latents: np.ndarray):
    small = numbers(correct=LOADED.correct.model_copy(update={"neighbours": 15}))
    state = states.initial(small.initialize, SPACE, CPU)
    with pytest.raises(ValueError, match=r"^r01: .*lower the number of neighbours"):
        list(rounds.refine(state, begin(latents), small))
