"""The device of a name, and a compiled network, which is the network within rounding."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lirf import params
from lirf.store.space import Space
from lirf.training import checkpoint, devices, loop
from lirf.training import state as states
from lirf.training.state import State

CPU = torch.device("cpu")
SPACE = Space("f00d", (2, 2, 2), (0.0, 1.0), (1.0, 2.0))
LOADED = params.load(Path(__file__).parents[3] / "params.yaml")
TOLERANCE = 1e-4  # of a loss after some steps, relative
compiles = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs a C++ compiler"
)


def test_names_are_understood():
    assert devices.choose("cpu") == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert devices.choose("auto") == torch.device(expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_an_error_with_a_remedy():
    with pytest.raises(ValueError, match=r"device = cuda: no usable GPU.*set device: auto or cpu"):
        devices.choose("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
@pytest.mark.parametrize("deterministic", [True, False])
def test_deterministic_algorithms_are_a_choice(deterministic: bool):
    try:
        devices.choose("cuda", deterministic)
        assert torch.are_deterministic_algorithms_enabled() == deterministic
    finally:
        torch.use_deterministic_algorithms(False)


def test_they_are_the_shipped_choice():
    assert LOADED.deterministic


def start() -> State:
    network = params.Transformer(kind="transformer", patch=1, width=16, depth=1, heads=2)
    config = params.Initialize(seed=0, prediction="velocity", network=network)
    return states.initial(config, SPACE, CPU)


@compiles
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler's own
def test_training_and_samples_are_those_of_the_network_within_rounding(tmp_path: Path):
    latents = torch.randn(9, *SPACE.shape, generator=torch.Generator().manual_seed(0))
    plain, fast = start(), start()
    both = []
    for state, on in ((plain, False), (fast, True)):
        config = LOADED.train.model_copy(update={"batch": 8, "accumulate": 2, "compile": on})
        both.append([loss for _, loss in loop.train(state, latents, config, 12)])
    torch.testing.assert_close(both[1], both[0], rtol=TOLERANCE, atol=0)

    checkpoint.save(plain, tmp_path / "weights")
    field, _ = checkpoint.load_field(tmp_path / "weights", CPU)
    shapes = []
    call = torch.compile(plain.ema, backend=lambda graph, _: shapes.append(1) or graph.forward)
    padded = plain.objective.field(devices.padded(call, 6))
    compiled = checkpoint.load_compiled(tmp_path / "weights", CPU, 6, "sample.compile")
    for count in (6, 4, 1):
        x, t = torch.randn(count, *SPACE.shape), torch.rand(count)
        torch.testing.assert_close(compiled(x, t), field(x, t), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(padded(x, t), field(x, t), rtol=1e-4, atol=1e-5)
    assert len(shapes) == 1


def test_a_missing_compiler_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        ValueError, match=r"train\.compile = true: there is no compiler `no-such-.*compile: false"
    ):
        devices.compiled(start().network, CPU, "train.compile")


def test_the_compiler_is_not_imported_where_it_is_not_asked_for():
    program = """
import sys, torch
from pathlib import Path
from lirf import params
from lirf.store.space import Space
from lirf.training import loop, state as states
loaded = params.load(Path("params.yaml"))
space = Space("f00d", (4, 4, 4), (0.0,) * 4, (1.0,) * 4)
state = states.initial(loaded.initialize, space, torch.device("cpu"))
list(loop.train(state, torch.randn(5, 4, 4, 4), loaded.train, 1))
print("torch._dynamo" in sys.modules, "torch._inductor" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]
