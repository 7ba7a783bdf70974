"""A set of drawn images on disk: a folder of PNGs, and `seeds.tsv`, which names their seeds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SEEDS = "seeds.tsv"
HEAD = "file\tseed"
LINE = re.compile(r"(\d{5,}\.png)\t\d+")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` to write to; it becomes `path` if nothing goes wrong."""
    partial = _partial(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def require_free(out: Path, overwrite: bool) -> list[Path]:
    """Check that a set, or one picture, may be written to `out`; return the files that go then.

    Those are of an earlier set, as its own `seeds.tsv` names them.

    Raises:
        ValueError: one line: something is there, and may not be overwritten or is not of a set.
    """
    if is_picture(out):
        if out.is_dir():
            raise ValueError(f"{out}: a folder; name a PNG file, or a folder that is called else")
        if out.exists() and not overwrite:
            raise ValueError(f"{out}: is there; name another file or add --overwrite")
        return []
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: not a folder; name one with --out, or a file that ends in .png")
    there = sorted(out.iterdir()) if out.is_dir() else []
    if there and not overwrite:
        raise ValueError(f"{out}: not empty; name another folder or add --overwrite")
    names = {SEEDS, *_names(out / SEEDS)}
    names |= {_partial(out / name).name for name in names}
    others = [path.name for path in there if path.name not in names or path.is_dir()]
    if others:
        raise ValueError(
            f"{out}: {others[0]!r} is not of a set that was drawn here ({len(others)} such files);"
            " nothing was deleted; move them away or name another folder"
        )
    return there


def is_picture(out: Path) -> bool:
    """Return whether `out` names one picture, not a folder."""
    return out.suffix.lower() == ".png"


def begin(out: Path, earlier: Sequence[Path], seeds: Sequence[int]) -> list[Path]:
    """Make the folder of a set without what is left of an earlier one; return where images go.

    `seeds.tsv` goes last and comes first, so that a set is known as one whenever it is interrupted.
    """
    make_folder(out)
    for path in sorted(earlier, key=lambda path: path.name == SEEDS):
        path.unlink()
    names = [f"{index:05d}.png" for index in range(len(seeds))]
    lines = [HEAD, *(f"{name}\t{seed}" for name, seed in zip(names, seeds, strict=True))]
    with whole(out / SEEDS) as path:
        path.write_text("".join(f"{line}\n" for line in lines))
    return [out / name for name in names]


def make_folder(out: Path) -> None:
    """Make a folder that can be written to.

    Raises:
        ValueError: one line: there is none, and why.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{out}: cannot be made ({error.strerror}); name another --out") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise ValueError(f"{out}: cannot be written to; name another --out")


def _names(table: Path) -> list[str]:
    """Return the names of images in a `seeds.tsv`; none if it is not one of ours, whole."""
    try:
        head, *lines = table.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = [LINE.fullmatch(line) for line in lines]
    return [one[1] for one in found if one] if head == HEAD and all(found) else []


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
