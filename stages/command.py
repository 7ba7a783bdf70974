"""Run a stage as a command: options from its signature, whole outputs, one-line errors."""

from __future__ import annotations

import argparse
import inspect
import shutil
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import NewType

from lirf import params

Out = NewType("Out", Path)
"""A file or folder that the stage writes. It gets a temporary sibling, renamed on success."""


def run(stage: Callable[..., None]) -> None:
    """Run `stage` with options from the command line and `params.yaml` of the current folder.

    Every parameter of `stage` but `params` is an option: `Path` an input, `Out` an output, `str` a
    name. A mistake of the user's ends in one line and exit status 1, and leaves no output behind.
    """
    hints = typing.get_type_hints(stage)
    names = [name for name in inspect.signature(stage).parameters if name != "params"]
    summary = (inspect.getdoc(stage) or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog=f"python -m stages.{stage.__name__}", description=summary)
    for name in names:
        parser.add_argument(f"--{name}", required=True)
    values = vars(parser.parse_args())
    outputs = {name: Path(values[name]) for name in names if hints[name] is Out}
    inputs = {name: Path(values[name]) for name in names if hints[name] is Path}
    partial = {name: path.with_name(f".{path.name}.partial") for name, path in outputs.items()}
    try:
        numbers = params.load(Path("params.yaml"))
        for path in partial.values():
            _remove(path)
            path.parent.mkdir(parents=True, exist_ok=True)
        stage(numbers, **{**values, **inputs, **partial})
        for name, path in outputs.items():
            _remove(path)
            partial[name].rename(path)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
    finally:
        for path in partial.values():
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def one_line(error: Exception) -> str:
    """Return the whole message on one line."""
    return " ".join(str(error).split()) or type(error).__name__
