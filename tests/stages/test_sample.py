"""A round's candidates: how many, from which seeds, in which space."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from written import files, write_rows

from lirf import params
from lirf.sampling import sampler
from lirf.store import banks
from lirf.store.space import Space
from lirf.training import checkpoint, loop
from lirf.training import state as states
from stages.sample import sample
from stages.support.command import Out

CPU = torch.device("cpu")
SPACE = Space("f00d", (2, 2, 2), (0.0, 1.0), (1.0, 2.0))
LOADED = params.load(Path(__file__).parents[2] / "params.yaml")


def numbers(ratio: float = 1.5, batch: int = 4) -> params.Params:
    section = LOADED.sample.model_copy(
        update={"ratio": ratio, "batch": batch, "solver": "heun", "steps": 3, "seed": 5}
    )
    return LOADED.model_copy(update={"device": "cpu", "sample": section})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own: scratch is in the current one."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    network = params.MLP(kind="mlp", width=16, depth=1)
    config = params.Initialize(seed=0, prediction="velocity", network=network)
    state = states.initial(config, SPACE, CPU)
    for _ in loop.train(state, torch.randn(5, *SPACE.shape), LOADED.train, 5):
        pass
    checkpoint.save(state, tmp_path / "weights")
    return tmp_path / "weights"


def write_bank(folder: Path, space: Space = SPACE) -> Path:
    """Write a bank of five real rows and two refined ones."""
    latents = np.random.default_rng(0).standard_normal((7, *space.shape), np.float32)
    return write_rows(folder, latents, space, refined=2)


def test_candidates_are_a_multiple_of_the_real_rows_with_ids_and_seeds(
    tmp_path: Path, weights: Path
):
    sample(numbers(), "r01", weights, write_bank(tmp_path / "bank"), Out(tmp_path / "out"))
    candidates = banks.read_latents(tmp_path / "out")
    assert candidates.latents.shape == (8, *SPACE.shape)  # ceil(1.5 x 5)
    assert candidates.space == SPACE
    assert candidates.rows["id"].to_pylist() == [f"r01-{i:05d}" for i in range(8)]
    assert candidates.rows["seed"].to_pylist() == sampler.seeds(5, "r01", 8)


def test_a_candidate_can_be_drawn_again_from_its_seed_alone(tmp_path: Path, weights: Path):
    bank = write_bank(tmp_path / "bank")
    sample(numbers(), "r01", weights, bank, Out(tmp_path / "out"))
    stored = banks.read_latents(tmp_path / "out")
    field, _ = checkpoint.load_field(weights, CPU)
    seed = stored.rows["seed"][6].as_py()
    (again,) = sampler.sample(field, [seed], SPACE.shape, numbers().sample, CPU)
    np.testing.assert_allclose(again[0].numpy(), stored.latents[6], atol=1e-5)


def test_rounds_share_no_noise_and_a_larger_ratio_keeps_what_there_was(
    tmp_path: Path, weights: Path
):
    bank = write_bank(tmp_path / "bank")
    sample(numbers(1.0), "r01", weights, bank, Out(tmp_path / "one"))
    sample(numbers(3.0, batch=15), "r01", weights, bank, Out(tmp_path / "three"))
    sample(numbers(1.0), "r02", weights, bank, Out(tmp_path / "other"))
    one, three, other = (
        banks.read_latents(tmp_path / name).latents for name in ("one", "three", "other")
    )
    np.testing.assert_allclose(three[:5], one, atol=1e-5)
    assert np.abs(one - other).max(axis=(1, 2, 3)).min() > 0.1


def test_a_bank_of_another_space_is_refused(tmp_path: Path, weights: Path):
    bank = write_bank(tmp_path / "bank", Space("f00d", SPACE.shape, (0.0, 0.0), SPACE.std))
    with pytest.raises(ValueError, match="bank: latents of another space: mean is"):
        sample(numbers(), "r01", weights, bank, Out(tmp_path / "out"))


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
):
    """It dies in its third file of four samples, and does not draw the first two again."""
    bank, config = write_bank(tmp_path / "bank"), numbers(4.2, batch=2)
    monkeypatch.setattr("stages.sample.KEPT", 4)
    sample(config, "r01", weights, bank, Out(tmp_path / "whole"))
    shutil.rmtree(".scratch")
    integrate, left = sampler.integrate, [5]

    def dies(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return integrate(*arguments)

    monkeypatch.setattr(sampler, "integrate", dies)
    with pytest.raises(KeyboardInterrupt):
        sample(config, "r01", weights, bank, Out(tmp_path / "never"))
    assert not (tmp_path / "never").exists()
    (scratch,) = Path(".scratch/sample-r01").glob("*/")
    assert sorted(path.name for path in scratch.iterdir()) == ["000000000.npy", "000000004.npy"]
    (scratch / "000000004.npy").write_bytes(b"cut short")
    left[0] = 9  # of eleven batches the first two need not be drawn
    sample(config, "r01", weights, bank, Out(tmp_path / "resumed"))
    assert left[0] == 0
    assert files(tmp_path / "resumed") == files(tmp_path / "whole")


def test_scratch_of_other_weights_is_not_used(tmp_path: Path, weights: Path):
    bank = write_bank(tmp_path / "bank")
    sample(numbers(), "r01", weights, bank, Out(tmp_path / "one"))
    state = checkpoint.load(weights, CPU)
    for _ in loop.train(state, torch.randn(5, *SPACE.shape), LOADED.train, 5):
        pass
    checkpoint.save(state, tmp_path / "more")
    sample(numbers(), "r01", tmp_path / "more", bank, Out(tmp_path / "two"))
    assert len([*Path(".scratch/sample-r01").glob("*/")]) == 1
    assert files(tmp_path / "one") != files(tmp_path / "two")


def test_a_batch_that_is_left_open_is_chosen_once(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
):
    """What the first run chose holds for those that go on, whatever would be chosen then."""
    bank, config = write_bank(tmp_path / "bank"), numbers(4.2)
    open_ = config.sample.model_copy(update={"batch": None})
    config = config.model_copy(update={"sample": open_})
    monkeypatch.setattr(sampler, "batch", lambda *_: 4)
    monkeypatch.setattr("stages.sample.KEPT", 4)
    sample(config, "r01", weights, bank, Out(tmp_path / "first"))
    (scratch,) = Path(".scratch/sample-r01").glob("*/")
    (scratch / "000000008.npy").unlink()
    monkeypatch.setattr(sampler, "batch", lambda _field, _shape, config, _device: config.batch or 9)
    sample(config, "r01", weights, bank, Out(tmp_path / "second"))
    assert files(tmp_path / "second") == files(tmp_path / "first")
    assert {path.name for path in scratch.glob("0*")} == {f"{n:09d}.npy" for n in range(0, 21, 4)}
