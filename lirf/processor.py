"""The processor's instructions, chosen so that the same inputs give the same bytes on all of them.

Sums are rounded by the order in which they are taken, and libraries choose that by the processor:
torch, oneDNN, OpenBLAS and MKL all have code of their own for AVX-512. MKL's products further
depend on where in memory their operands lie, unless it is told to be reproducible. So all four are
told, before they are loaded; what the environment says already stays.
"""

from __future__ import annotations

import getpass
import os
import platform
import tempfile
from pathlib import Path

AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "AVX2,STRICT",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""Where there is AVX2: that and no more. STRICT: wherever operands lie, on however many threads."""

OLDER = {"MKL_CBWR": "COMPATIBLE"}
"""Where it is not known whether there is."""

SPIN = {"GOMP_SPINCOUNT": "1000"}
"""OpenMP's threads wait for one another by spinning, and when two stages share the cores they take
them from those that they wait for: a training step of two stages at a time took 61 ms on two cores,
38 ms with this short spin, and alone 14 and 15 ms."""

NEEDED = {"avx2", "fma"}
"""What AVX2 code of these libraries uses, as Linux calls it."""


def settle() -> None:
    """Put the variables into the environment, of which child processes have it too."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        for name, value in (AVX2 if _flags() >= NEEDED else OLDER).items():
            os.environ.setdefault(name, value)
    for name, value in SPIN.items():
        os.environ.setdefault(name, value)
    # What torch has compiled for other instructions it would take, and give NaN.
    folder = f"torchinductor-{_user()}-{instructions()}"
    compiled = Path(tempfile.gettempdir(), folder)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled))


def instructions() -> str:
    """Return the name of what is computed with: "AVX2-reproducible" where nobody says otherwise."""
    name = (os.environ.get("ATEN_CPU_CAPABILITY") or platform.machine()).upper()
    return f"{name}-reproducible" if os.environ.get("MKL_CBWR") else name


def _flags() -> set[str]:
    """Return the names of the processor's abilities, where Linux tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        return str(os.getuid())
