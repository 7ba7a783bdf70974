"""Where to compute, on how many threads, and through torch's compiler where that is asked for.

The compiler takes a minute or so to begin with, and is imported when it is first asked for: that
alone takes seconds.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lirf.networks.condition import Condition
from lirf.objectives.base import Call

if TYPE_CHECKING:
    from lirf.params import Params

COMPILERS = {"cpu": ("CXX", ("clang++",) if sys.platform == "darwin" else ("g++",)),
             "cuda": ("CC", ("cc", "gcc", "clang"))}  # fmt: skip
"""What the compiler calls in turn, by device: the variable that names it, or one of these."""


def of(numbers: Params) -> torch.device:
    """Return the device of `params.yaml`, and compute on as many threads as it says.

    Sums are rounded by the number of threads, so bytes depend on it, and not on how many cores
    there are. `OMP_NUM_THREADS` in the environment comes first.

    Raises:
        ValueError: as `choose`.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(numbers.threads)
    return choose(numbers.device, numbers.deterministic)


def choose(name: Literal["auto", "cpu", "cuda"], deterministic: bool = True) -> torch.device:
    """Return the device called `name`; "auto" is the GPU where there is one.

    On a GPU with `deterministic` it also tells torch, for the whole process, to prefer algorithms
    that give the same bytes on every run; where torch has none it warns. On a CPU they all do.

    Raises:
        ValueError: "cuda" on a machine without a usable GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device = cuda: no usable GPU on this machine; set device: auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cuda.enable_mem_efficient_sdp(False)  # its backward adds in no fixed order
    return torch.device("cuda")


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

    def call(x_B: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        if device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        try:
            return fast(x_B, t_B, condition)
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

    def fill(one_B: Tensor) -> Tensor:
        missing = rows - len(one_B)
        return functional.pad(one_B, (0, 0) * (one_B.ndim - 1) + (0, missing)) if missing else one_B

    def whole(x_B: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        count = len(x_B)
        assert count <= rows, "no batch is larger than what was compiled"
        return call(fill(x_B), fill(t_B), condition.map(fill))[:count].clone()

    return whole


def _require_compiler(device: torch.device, key: str) -> None:
    variable, names = COMPILERS[device.type]
    named = os.environ.get(variable)
    if not any(shutil.which(name) for name in ((named,) if named else names)):
        raise ValueError(
            f"{key} = true: there is no compiler `{named or names[0]}` on this machine; install it"
            f" (Debian: apt install g++), name another in {variable}, or set {key}: false"
        )
