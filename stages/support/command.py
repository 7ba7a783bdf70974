"""Run a stage as a command: options from its signature, whole outputs, one-line errors."""

from __future__ import annotations

import argparse
import errno
import inspect
import os
import shutil
import signal
import sys
import time
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NewType, NoReturn

import psutil

import stages
from lirf import params
from stages.support import code
from stages.telling import pace, progress, standing

Out = NewType("Out", Path)
"""A file or folder that the stage writes. It gets a temporary sibling, renamed on success."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

REMEDIES = {
    errno.ENOSPC: "free some space on its disk and rerun `dvc repro`",
    errno.EDQUOT: "free some space within your quota and rerun `dvc repro`",
    errno.EFBIG: "allow larger files (`ulimit -f`) and rerun `dvc repro`",
    errno.EROFS: "make it writable and rerun `dvc repro`",
    errno.EACCES: "make it accessible and rerun `dvc repro`",
}

BATCHES = {
    "autoencoder": "autoencoder.batch",
    "spaces": "autoencoder.batch",
    "encode": "encode.batch",
    "train": "train.batch",
    "sample": "sample.batch",
    "evaluate": "sample.batch",
    "diagnose": "sample.batch",
}
"""What to lower where a stage's memory is not enough; the others have nothing to lower."""


class Interrupted(BaseException):
    """A signal of `SIGNALS` arrived: everything ends, and what is not whole goes."""

    def __init__(self, number: int, message: str = "interrupted; `dvc repro` starts it again"):
        super().__init__(message)
        self.number = number


def unfinished(number: int, name: str, taken: int, steps: int) -> Interrupted:
    """Return what a training raises that signal `number` ended, after a checkpoint."""
    return Interrupted(
        number,
        f"{name}: interrupted after {taken} of {steps} steps; `dvc repro` goes on from there",
    )


def run(stage: Callable[..., None]) -> None:
    """Run `stage` with options from the command line and `params.yaml` of the current folder.

    Every parameter of `stage` but `params` is an option: `Path` an input, `Out` an output, `str` a
    name. A study's numbers are of another class than `Params`; the option `params` names its file.
    A mistake of the user's ends in one line and exit status 1, and leaves no output behind;
    so do a full disk, too little memory and, with the shells' own status, SIGINT and SIGTERM.
    """
    hints = typing.get_type_hints(stage)
    names = [name for name in inspect.signature(stage).parameters if name != "params"]
    summary = (inspect.getdoc(stage) or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog=f"python -m stages.{stage.__name__}", description=summary)
    study = hints["params"] if hints["params"] is not params.Params else None
    for name in [*names, *(["params"] if study else [])]:
        parser.add_argument(f"--{name}", required=True)
    values = vars(parser.parse_args())
    outputs = {name: Path(values[name]) for name in names if hints[name] is Out}
    inputs = {name: Path(values[name]) for name in names if hints[name] is Path}
    partial = {name: path.with_name(f".{path.name}.partial") for name, path in outputs.items()}
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    try:
        code.refresh(stage.__name__)
        own = values.pop("params", None)
        main = Path("params.yaml")
        numbers = params.load_study(study, main, Path(own)) if study else params.load(main)
        _tell_begin(numbers)
        for path in partial.values():
            _remove(path)
            path.parent.mkdir(parents=True, exist_ok=True)
        stage(numbers, **{**values, **inputs, **partial})
        for name, path in outputs.items():
            _remove(path)
            partial[name].rename(path)
        _note_end(numbers)
    except Interrupted as signalled:
        print(signalled, file=sys.stderr)  # noqa: T201
        sys.exit(128 + signalled.number)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        sys.exit(f"error: {stage.__name__}: {_more_memory(stage.__name__, error)}")
    finally:
        for path in partial.values():
            _remove(path)


def _tell_begin(numbers: object) -> None:
    """Say on a terminal where the run is that this stage is a part of."""
    if not stages.STARTED_BY_DVC or not sys.stderr.isatty():
        return
    known = numbers if isinstance(numbers, params.Params) else None
    progress.run.standing = found = standing.here(known)
    if found is not None:
        print(found.line(), file=sys.stderr, flush=True)  # noqa: T201


def _note_end(numbers: object) -> None:
    """Take note of how long a stage took that DVC started, from its start to its end."""
    if stages.STARTED_BY_DVC and isinstance(numbers, params.Params) and not progress.run.resumed:
        begun = psutil.Process().create_time()
        pace.learn(os.environ["DVC_STAGE"], time.time() - begun, numbers)


@contextmanager
def deferred() -> Iterator[Callable[[], int]]:
    """Within it a signal of `SIGNALS` only makes the yielded function return its number, else 0.

    So does the end of DVC, which ends other stages at once. For a stage that can write down where
    it is: it has as long as who sends the signal allows, usually 10 to 30 s. The signal counts when
    the block ends; a stage that has something to say raises an `Interrupted` of its own.
    """
    arrived: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: arrived.append(number))
        for number in SIGNALS
    }
    stages.end_with_dvc(signal.SIGTERM)
    try:
        yield lambda: arrived[0] if arrived else 0
    finally:
        stages.end_with_dvc(signal.SIGKILL)
        for number, handler in before.items():
            signal.signal(number, handler)
    if arrived:
        raise Interrupted(arrived[0])


def _interrupt(number: int, _: object) -> NoReturn:
    raise Interrupted(number)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():  # where nothing may be written, not even this
        path.unlink()


def out_of_memory(error: BaseException) -> bool:
    """Return whether it is what Python, NumPy or torch say when memory is not enough.

    By its name, because a stage that needs no torch does not load it.
    """
    named = type(error).__name__ == "OutOfMemoryError"
    return named or isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _more_memory(stage: str, error: BaseException) -> str:
    """Say whose memory is not enough, and what to lower."""
    whose = "GPU memory" if type(error).__name__ == "OutOfMemoryError" else "memory"
    remedy = f"lower {BATCHES[stage]}" if stage in BATCHES else "end other programs"
    return f"out of {whose}; {remedy} and rerun `dvc repro`"


def one_line(error: Exception) -> str:
    """Return the whole message on one line, with a remedy where it is the system's."""
    if isinstance(error, OSError) and error.errno in REMEDIES:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{os.strerror(error.errno).lower()}; {REMEDIES[error.errno]}"
    return " ".join(str(error).split()) or type(error).__name__
