"""What the processor computes with is settled before torch is there, and then gives equal bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from lirf import params, processor
from lirf.training import devices

ROOT = Path(__file__).parents[2]
NAMES = {*processor.AVX2, *processor.SPIN, "TORCHINDUCTOR_CACHE_DIR"}
LINE = 64  # bytes of a cache line


def settled(module: str, **given: str) -> dict[str, str]:
    """Return the variables in a process that has the variables `given` and imports `module`."""
    env = {key: value for key, value in os.environ.items() if key not in NAMES} | given
    ask = f"import json, os, sys, {module}; early = 'torch' in sys.modules"
    tell = "print(json.dumps([early, dict(os.environ)]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{ask}; {tell}"],
        cwd=ROOT, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    early, have = json.loads(done.stdout)
    assert not early, "torch would have been loaded before"
    return {name: have[name] for name in NAMES if name in have}


@pytest.mark.parametrize("module", ["lirf", "stages", "pipeline"])
def test_every_way_in_settles_it(module: str):
    have = settled(module)
    assert have.pop("TORCHINDUCTOR_CACHE_DIR").endswith(processor.instructions())
    known = processor.AVX2 if processor._flags() >= processor.NEEDED else processor.OLDER
    assert have == known | processor.SPIN


def test_what_the_environment_says_stays():
    given = dict.fromkeys(NAMES, "as it was")
    assert settled("lirf", **given) == given


def test_torch_computes_with_it():
    assert torch.backends.cpu.get_cpu_capability() != "AVX512"


def moved(tensor: torch.Tensor, offset: int) -> torch.Tensor:
    """Return an equal tensor that begins `offset` numbers behind the start of a cache line."""
    numbers = LINE // tensor.element_size()
    room = torch.empty(tensor.numel() + 2 * numbers, dtype=tensor.dtype)
    first = (offset - room.data_ptr() // tensor.element_size()) % numbers
    view = room[first : first + tensor.numel()].view(tensor.shape)
    assert view.data_ptr() % LINE == offset * tensor.element_size()
    return view.copy_(tensor)


SHAPES = [(1, 128, 128), (7, 16, 48), (64, 128, 384), (50, 64, 33)]  # M x K times K x N


@pytest.mark.parametrize("shape", SHAPES)
def test_products_do_not_depend_on_where_their_operands_lie(shape: tuple[int, int, int]):
    """On processors without AVX-512 too: there products of one row do where MKL is not told."""
    m, k, n = shape
    x_MK, w_NK, b_N = (torch.randn(size) for size in ((m, k), (n, k), (n,)))
    expected_MN = functional.linear(x_MK, w_NK, b_N)
    numbers = range(LINE // x_MK.element_size())
    for i in numbers:
        for j in numbers:
            here_MN = functional.linear(moved(x_MK, i), moved(w_NK, j), moved(b_N, (i + j) % 16))
            assert torch.equal(here_MN, expected_MN), f"operands {i} and {j} numbers off"


def test_nor_do_numpys():
    x_MK, w_NK = torch.randn(9, 100), torch.randn(33, 100)
    expected_MN = x_MK.numpy() @ w_NK.numpy().T
    for i in range(LINE // x_MK.element_size()):
        here_MN = moved(x_MK, i).numpy() @ moved(w_NK, 15 - i).numpy().T
        np.testing.assert_array_equal(here_MN, expected_MN)


def test_the_number_of_threads_is_that_of_the_parameters(monkeypatch: pytest.MonkeyPatch):
    numbers = params.load(ROOT / "params.yaml").model_copy(update={"threads": 3, "device": "cpu"})
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        devices.of(numbers)
        assert torch.get_num_threads() == before
        monkeypatch.delenv("OMP_NUM_THREADS")
        devices.of(numbers)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
