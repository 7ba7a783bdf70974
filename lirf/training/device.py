"""Where to compute, and on how many threads."""

from __future__ import annotations

import os
from typing import Literal

import torch

from lirf.params import Params


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
