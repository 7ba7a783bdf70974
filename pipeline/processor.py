"""The processor's vector instructions, which decide how sums are rounded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""Have torch, oneDNN and OpenBLAS use AVX2 where the processor has more: with these, processors
with and without AVX-512 gave the same bytes."""


def settle(folder: Path) -> str:
    """Have child processes use AVX2 wherever there is it; return what torch uses then.

    What torch compiles is kept in a folder of its own below `folder`: torch would take what it has
    compiled for AVX-512, which then gives NaN.

    Variables that the environment has already stay as they are. On processors without AVX2, and of
    other kinds, nothing is set.
    """
    named = "ATEN_CPU_CAPABILITY" in os.environ
    found = _capability()
    if not named and found == "AVX512":
        found = "AVX2"
    if found == "AVX2":
        for name, value in AVX2.items():
            os.environ.setdefault(name, value)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder.resolve() / f"compiled-{found}"))
    return found


def _capability() -> str:
    """Return the instructions that a fresh process's torch uses."""
    ask = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    return subprocess.check_output([sys.executable, "-c", ask], text=True).strip()  # noqa: S603
