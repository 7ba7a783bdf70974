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
from lirf.store import banks, lineage, tables
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
            "final": params.Model(
                role="loop", after="r02", steps=30, cooldown=25, refined_t_max=0.9
            ),
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


def begin(latents: np.ndarray) -> banks.Bank:
    return rounds.begin(latents, SPACE, np.arange(len(latents)) // 2)


def write_start(
    folder: Path, latents: np.ndarray, augmented: Augmented, small: params.Params
) -> None:
    """Write bank r00, the augmented latents and the untrained weights."""
    (folder / "r00").mkdir()
    banks.write(folder / "r00" / "bank", "r00", latents, begin(latents).rows, SPACE)
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


def stopping() -> params.StopOn:
    """Return a rule that ends training at its first look, as if all samples were memorised."""
    return LOADED.train.stop_on.model_copy(
        update={"rule": "collapse", "threshold": -100.0, "every": 10, "samples": 4}
    )


def same(one: banks.Bank, other: banks.Bank) -> None:
    """Check that latents, rows and attributes are the same, to the bit."""
    np.testing.assert_array_equal(one.latents, other.latents)
    assert one.rows.to_pylist() == other.rows.to_pylist()
    told = [{**bank.attributes, "space": None} for bank in (one, other)]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("train_options", "steps"),
    [
        ({}, 90),
        ({"start": "fresh", "real_share": 0.5}, 30),
        ({"stop_on": stopping()}, 10),
        ({"refined_t_max": 0.3}, 90),
    ],
)
def test_it_equals_the_stages_bit_for_bit(
    tmp_path: Path,
    latents: np.ndarray,
    augmented: Augmented,
    monkeypatch: pytest.MonkeyPatch,
    train_options: dict[str, Any],
    steps: int,
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
        same(turn.candidates, banks.read_latents(here / "candidates"))

        outs = Out(here / "corrected"), Out(here / "anchors")
        correct(small, turn.name, here / "candidates", after / "bank", *outs)
        same(turn.corrected, banks.read_latents(here / "corrected"))
        assert turn.anchors == tables.read(here / "anchors")

        outs = Out(here / "admitted"), Out(here / "decision"), Out(here / "metrics")
        paths = here / "corrected", here / "anchors", after / "bank"
        admit(small, turn.name, *paths, *outs)
        assert turn.admission.table == tables.read(here / "decision")
        same(turn.admission.joining, banks.read_latents(here / "admitted"))

        merge(small, turn.name, after / "bank", here / "admitted", Out(here / "bank"))
        same(turn.bank, banks.read(here / "bank"))
        after = here
        sizes.append(len(turn.bank.latents))

    assert len(sizes) == 3
    assert sizes[0] < sizes[1] < sizes[2], "or the test has compared nothing"
    run_train(small, tmp_path, "final", after)
    stored = checkpoint.load(tmp_path / "final" / "weights", CPU)
    assert state.step == stored.step == steps
    torch.testing.assert_close(weights(state), weights(stored), rtol=0, atol=0)


def test_every_latent_of_the_last_bank_descends_from_real_ones(latents: np.ndarray):
    *_, turn = rounds.refine(start(numbers()), begin(latents), numbers())
    lines = lineage.build(turn.bank.rows.to_pylist())
    for place in np.flatnonzero(~turn.bank.real):
        shares = lines.shares(int(place))
        assert turn.bank.real[list(shares)].all()
        assert sum(shares.values()) == pytest.approx(1)


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
    with pytest.raises(
        ValueError, match=r"^r01: correct.neighbours = 15: .* only 14 real rows .* lower it"
    ):
        list(rounds.refine(state, begin(latents), small))
