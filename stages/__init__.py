"""The verbs of the pipeline, one file a stage: read inputs, call `lirf`, write outputs."""

import os
import signal
import sys

import lirf  # noqa: F401 - before torch: it says what the processor computes with

STARTED_BY_DVC = "DVC_STAGE" in os.environ
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def end_with_dvc(number: int) -> None:
    """Ask the kernel for signal `number` once the DVC that started this process is dead.

    A stage that outlives a killed `dvc repro` would write while the next one works. Does nothing
    in a process that DVC has not started, nor elsewhere than on Linux.
    """
    if STARTED_BY_DVC and sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - for the next line only

        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, ctypes.c_ulong(number))


# Here and not in `stages.command`: what a stage imports takes seconds, and DVC may be killed then.
if sys.platform == "linux":
    end_with_dvc(signal.SIGKILL)
