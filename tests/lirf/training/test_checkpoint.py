"""The folder of a state: its bytes, what it gives back, and what it refuses."""

import io
import json
import pickle
from pathlib import Path

import pytest
import torch

from lirf import params
from lirf.store import files
from lirf.store.space import Space
from lirf.training import checkpoint, loop
from lirf.training import state as states
from lirf.training.state import State

CPU = torch.device("cpu")
SPACE = Space("f00d", (2, 4, 4), (0.5, -1.0), (2.0, 0.25))
TRAIN = params.Train(
    accumulate=1,
    precision="float32",
    compile=False,
    processes=1,
    batch=4,
    learning_rate=1e-2,
    betas=(0.9, 0.999),
    weight_decay=0.01,
    clip_norm=None,
    ema_decay=0.9,
    times="logit-normal",
    start="warm",
    augment_share=0.0,
    jitter=0.0,
    refined_t_max=1.0,
    real_share=None,
    checkpoint_every=10,
    stop_on=params.StopOn(rule="never", threshold=0.0, every=1, samples=1, path_steps=1),
)
FILES = ["network.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"]


@pytest.fixture
def state() -> State:
    network = params.Transformer(kind="transformer", patch=2, width=8, depth=1, heads=2)
    config = params.Initialize(seed=1, prediction="data", network=network)
    made = states.initial(config, SPACE, CPU)
    for _ in loop.train(made, torch.randn(5, *SPACE.shape), TRAIN, 3):
        pass
    return made


def test_the_same_state_is_the_same_bytes_also_after_a_round_trip(tmp_path: Path, state):
    checkpoint.save(state, tmp_path / "a")
    checkpoint.save(checkpoint.load(tmp_path / "a", CPU), tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_untrained_state_can_be_saved(tmp_path: Path):
    network = params.MLP(kind="mlp", width=8, depth=1)
    config = params.Initialize(seed=1, prediction="velocity", network=network)
    checkpoint.save(states.initial(config, SPACE, CPU), tmp_path / "a")
    assert checkpoint.load(tmp_path / "a", CPU).step == 0


def test_the_field_is_that_of_the_averaged_weights(tmp_path: Path, state):
    checkpoint.save(state, tmp_path / "a")
    field, space = checkpoint.load_field(tmp_path / "a", CPU)
    x, t = torch.randn(3, *SPACE.shape), torch.rand(3)
    assert space == SPACE
    assert torch.equal(field(x, t), state.field(x, t))
    assert not field(x, t).requires_grad
    raw = state.objective.field(state.network)
    assert not torch.allclose(field(x, t), raw(x, t))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, state, name: str):
    checkpoint.save(state, tmp_path / "a")
    (tmp_path / "a" / name).unlink()
    with pytest.raises(ValueError, match=f"{name}: (missing|cannot be read); `python") as error:
        checkpoint.load(tmp_path / "a", CPU)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["cut", "flip"])
def test_a_damaged_file_is_named(tmp_path: Path, state, name: str, how: str):
    checkpoint.save(state, tmp_path / "a")
    path = tmp_path / "a" / name
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[:-20]
    else:
        content[0] ^= 0x04
        content[-30] ^= 0x01
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: damaged") as error:
        checkpoint.load(tmp_path / "a", CPU)
    assert "\n" not in str(error.value)


def test_another_version_is_refused(tmp_path: Path, state):
    checkpoint.save(state, tmp_path / "a")
    document = json.loads((tmp_path / "a" / "state.json").read_text())
    (tmp_path / "a" / "state.json").write_text(json.dumps({**document, "format": 99}))
    with pytest.raises(ValueError, match=r"state\.json: format 99 is not 1, .* rerun") as error:
        checkpoint.load_field(tmp_path / "a", CPU)
    assert "\n" not in str(error.value)


def test_weights_of_another_network_are_refused(tmp_path: Path, state):
    checkpoint.save(state, tmp_path / "a")
    document = json.loads((tmp_path / "a" / "state.json").read_text())
    document["network"]["width"] = 16
    (tmp_path / "a" / "state.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="not the tensors of the network"):
        checkpoint.load(tmp_path / "a", CPU)


def forge(folder: Path, name: str, content: bytes) -> None:
    """Replace a file of a checkpoint, and its checksum."""
    (folder / name).write_bytes(content)
    document = json.loads((folder / "state.json").read_text())
    document["files"][name] = files.sha256(folder / name)
    (folder / "state.json").write_text(json.dumps(document))


@pytest.mark.parametrize("name", FILES[:3])
def test_a_pickle_in_the_place_of_weights_is_refused_and_not_run(tmp_path: Path, state, name: str):
    class Evil:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    checkpoint.save(state, tmp_path / "a")
    archive = io.BytesIO()
    torch.save({"weight": Evil()}, archive)
    for content in (archive.getvalue(), pickle.dumps(Evil())):
        forge(tmp_path / "a", name, content)
        with pytest.raises(ValueError, match=f"{name}: (damaged|not the tensors)") as error:
            checkpoint.load(tmp_path / "a", CPU)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network", None),
        ("step", -1),
        ("step", "x"),
        ("prediction", "noise"),
        ("generator", "AAAA"),
        ("generator", 3),
        ("space", {}),
        ("files", []),
    ],
)
def test_a_document_that_says_nonsense_is_damaged(tmp_path: Path, state, key: str, value: object):
    checkpoint.save(state, tmp_path / "a")
    document = json.loads((tmp_path / "a" / "state.json").read_text())
    (tmp_path / "a" / "state.json").write_text(json.dumps({**document, key: value}))
    with pytest.raises(ValueError, match=r"state\.json: damaged"):
        checkpoint.load(tmp_path / "a", CPU)


def test_an_absurd_network_is_refused_before_it_is_allocated(tmp_path: Path, state):
    checkpoint.save(state, tmp_path / "a")
    document = json.loads((tmp_path / "a" / "state.json").read_text())
    document["network"]["width"] = 10**6
    (tmp_path / "a" / "state.json").write_text(json.dumps(document))
    for load in (checkpoint.load, checkpoint.load_ema):
        with pytest.raises(ValueError, match="not the tensors of the network"):
            load(tmp_path / "a", CPU)


def test_a_moment_that_is_not_finite_is_named_and_not_written(tmp_path: Path, state):
    name = next(iter(state.moments))
    state.moments[name].view(-1)[0] = torch.inf
    with pytest.raises(ValueError, match=f"step 3: the moments {name} are not finite"):
        checkpoint.save(state, tmp_path / "a")
    assert not (tmp_path / "a").exists()
