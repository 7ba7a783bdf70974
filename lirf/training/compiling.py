"""A network through torch's compiler, which takes a minute or so to begin with.

The compiler is imported when it is first asked for: that alone takes seconds.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Call = Callable[..., Tensor]

COMPILERS = {"cpu": ("CXX", ("clang++",) if sys.platform == "darwin" else ("g++",)),
             "cuda": ("CC", ("cc", "gcc", "clang"))}  # fmt: skip
"""What the compiler calls in turn, by device: the variable that names it, or one of these."""


def compiled(network: nn.Module, device: torch.device, key: str) -> Call:
    """Return `network` as a function of the same inputs, compiled for their shapes.

    On a GPU it is recorded as a CUDA graph, whose output lies where that of the next call will.
    Other shapes are compiled anew. `key`, of `params.yaml`, is what errors name.

    Raises:
        ValueError: there is no C or C++ compiler to call, or, in the first call, it fails.
    """
    _require_compiler(device, key)
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    fast = torch.compile(network, mode=mode, dynamic=False)
    from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415 - seconds to load

    def call(*inputs: Tensor) -> Tensor:
        if device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        try:
            return fast(*inputs)
        except TorchDynamoException as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{key} = true: torch cannot compile the network here ({reason}); set {key}: false"
            ) from None

    return call


def padded(call: Call, rows: int) -> Call:
    """Return what gives `call` batches of `rows` at all times: smaller ones are filled with zeros.

    So that the last batch is not compiled on its own. Its results are its own memory.
    """

    def whole(*inputs: Tensor) -> Tensor:
        count = len(inputs[0])
        assert count <= rows, "no batch is larger than what was compiled"
        full = [
            functional.pad(one, (0, 0) * (one.ndim - 1) + (0, rows - count))
            if count < rows
            else one
            for one in inputs
        ]
        return call(*full)[:count].clone()

    return whole


def _require_compiler(device: torch.device, key: str) -> None:
    variable, names = COMPILERS[device.type]
    named = os.environ.get(variable)
    if not any(shutil.which(name) for name in ((named,) if named else names)):
        raise ValueError(
            f"{key} = true: there is no compiler `{named or names[0]}` on this machine; install it"
            f" (Debian: apt install g++), name another in {variable}, or set {key}: false"
        )
