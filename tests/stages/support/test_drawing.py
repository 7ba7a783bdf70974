"""What sample and evaluate draw from: the averaged weights, in batches that are chosen once."""

from pathlib import Path

import pytest
import torch

from lirf import params
from lirf.sampling import sampler
from lirf.store.space import Space
from lirf.training import checkpoint
from lirf.training import state as states
from stages.support import drawing

CPU = torch.device("cpu")
SPACE = Space("f00d", (2, 2, 2), (0.0, 1.0), (1.0, 2.0))
SEEDS = sampler.seeds(0, "drawn", 7)
CONFIG = params.load(Path(__file__).parents[3] / "params.yaml").sample.model_copy(
    update={"steps": 2, "batch": None}
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    network = params.MLP(kind="mlp", width=16, depth=1)
    config = params.Initialize(seed=0, prediction="velocity", network=network)
    checkpoint.save(states.initial(config, SPACE, CPU), tmp_path / "weights")
    return tmp_path / "weights"


@pytest.mark.parametrize(("earlier", "own", "expected"), [(None, 3, 3), (4, None, 4)])
def test_the_batch_is_an_earlier_runs_or_the_configs(
    weights: Path, earlier: int | None, own: int | None, expected: int
):
    made = drawing.load(weights, CONFIG.model_copy(update={"batch": own}), CPU, earlier)
    assert made.batch == expected
    sizes = [len(x_BCHW) for x_BCHW in made.sample(SEEDS)]
    assert sizes == [len(part) for part in torch.arange(7).split(expected)]
    assert made.batches(7) == len(sizes)
    assert [made.batches(count) for count in (0, 1, expected, expected + 1)] == [0, 1, 1, 2]


def test_an_open_batch_is_the_samplers_choice(weights: Path):
    made = drawing.load(weights, CONFIG, CPU)
    assert made.batch == sampler.batch(made.field, SPACE.shape, CONFIG, CPU)


def test_samples_are_those_of_the_averaged_weights_from_any_batch_on(weights: Path):
    made = drawing.load(weights, CONFIG, CPU, 3)
    field, space = checkpoint.load_field(weights, CPU)
    assert made.space == space == SPACE
    config = CONFIG.model_copy(update={"batch": 3})
    whole = torch.cat(list(sampler.sample(field, SEEDS, SPACE.shape, config, CPU)))
    assert torch.equal(torch.cat(list(made.sample(SEEDS))), whole)
    assert torch.equal(torch.cat(list(made.sample(SEEDS, first=3))), whole[3:])


def test_damaged_weights_are_named(weights: Path):
    (weights / checkpoint.EMA).write_bytes(b"")
    with pytest.raises(ValueError, match=r"ema\.safetensors"):
        drawing.load(weights, CONFIG, CPU)
