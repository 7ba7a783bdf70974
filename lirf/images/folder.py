"""The images of a folder: which files they are, which are held out, and which repeat others."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from lirf.images import kinds
from lirf.images.decode import Decoded

HELDOUT = frozenset({"heldout", "holdout", "test", "val", "valid", "validation"})
"""Names of folders whose images are held out, in any case, with or without `-`, `_` and spaces."""

Split = Literal["train", "heldout"]


@dataclass(frozen=True)
class ImageFile:
    """An image file: `name` is its POSIX path relative to the folder it was found in."""

    path: Path
    name: str
    split: Split


@dataclass
class Others:
    """What a folder holds besides images that are read.

    Attributes:
        unread: names of the files of every format that is known and not read.
        debris: names of folders that are not looked into: hidden, or left by a system.
        ignored: number of all other files.
    """

    unread: dict[str, list[str]] = field(default_factory=dict)
    debris: set[str] = field(default_factory=set)
    ignored: int = 0

    def add(self, path: Path, name: str) -> None:
        """Count the file `path`, called `name`, which has no suffix of an image that is read."""
        kind = kinds.unread(name)
        if kind is None and not path.suffix:
            kind = _content(path)
        if kind is None:
            self.ignored += 1
        else:
            self.unread.setdefault(kind, []).append(name)

    def lines(self) -> list[str]:
        """Return what to say of the formats that are not read, a line each."""
        return [
            f"{kind} is not read: {min(names)}"
            + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            + f"; {kinds.remedy(kind)}"
            for kind, names in sorted(self.unread.items())
        ]


@dataclass(frozen=True)
class Row:
    """A row of the prepared images: an image, or its mirror image if `flip`."""

    id: str
    file: ImageFile
    image: Decoded
    flip: bool

    @property
    def pixels(self) -> np.ndarray:
        """Return uint8 [C, R, R]."""
        pixels_CHW = self.image.pixels
        return np.ascontiguousarray(pixels_CHW[:, :, ::-1]) if self.flip else pixels_CHW


def find(folder: Path) -> tuple[list[ImageFile], Others]:
    """Return the image files below `folder`, sorted by name, and what else there is.

    Files count by suffix, in any case; what is hidden or left by a system is skipped. Everything
    below a folder of `folder` that is named as in `HELDOUT` is held out, all else is for training.

    Raises:
        ValueError: `folder` is missing, unreadable, not a folder or holds no images; a link
            leads out of it, to a folder or nowhere; something is no file; a name cannot be
            printed.
    """
    if not folder.exists():
        raise ValueError(f"{folder}: no such folder; set prepare.images to a folder of images")
    if not folder.is_dir():
        raise ValueError(f"{folder}: not a folder; set prepare.images to a folder of images")
    root = folder.resolve()
    found: list[ImageFile] = []
    others = Others()
    for parent, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        others.debris.update(name for name in folders if kinds.is_debris(name))
        folders[:] = sorted(name for name in folders if not kinds.is_debris(name))
        visible = sorted(name for name in files if not kinds.is_debris(name))
        for path in (Path(parent, name) for name in [*folders, *visible]):
            _check_entry(path, path.relative_to(folder), root)
        for path in (Path(parent, name) for name in visible):
            name = path.relative_to(folder)
            if path.suffix.lower() not in kinds.SUFFIXES:
                others.add(path, name.as_posix())
                continue
            found.append(ImageFile(path, name.as_posix(), _split(name)))
    if not found:
        remedies = [*others.lines(), "set prepare.images to a folder of images"]
        raise ValueError(
            f"{folder}: no images (PNG, JPEG, WebP, TIFF, BMP) in it or below; "
            + "; ".join(remedies)
        )
    return sorted(found, key=lambda file: file.name), others


def distinct(
    images: Sequence[tuple[ImageFile, Decoded]], flip: bool
) -> tuple[list[Row], list[tuple[ImageFile, Row]]]:
    """Return the rows of `images` without repeats, and each dropped file with the row it repeats.

    A repeat has exactly the pixels of an earlier row *as prepared*: an image saved again in another
    format or at another size is seen too, if it comes out the same. Training rows come first, so
    a held-out image that repeats a training image, or its mirror image where `flip` adds those,
    is the one to go. The mirror image of a symmetric image is left out silently.
    """
    rows: list[Row] = []
    dropped: list[tuple[ImageFile, Row]] = []
    seen: dict[bytes, Row] = {}
    counts = {"train": 0, "heldout": 0}
    for file, image in sorted(images, key=lambda one: one[0].split != "train"):
        row = Row(f"{file.split}-{counts[file.split]:05d}", file, image, flip=False)
        if (repeated := seen.setdefault(_digest(row), row)) is not row:
            dropped.append((file, repeated))
            continue
        counts[file.split] += 1
        rows.append(row)
        if flip and file.split == "train":
            mirrored = Row(f"{row.id}-flip", file, image, flip=True)
            if seen.setdefault(_digest(mirrored), mirrored) is mirrored:
                rows.append(mirrored)
    return rows, dropped


def _split(name: Path) -> Split:
    """Return what an image is for, by its name relative to the folder."""
    top = re.sub(r"[-_ ]", "", name.parts[0].lower())
    return "heldout" if len(name.parts) > 1 and top in HELDOUT else "train"


def _digest(row: Row) -> bytes:
    return hashlib.sha256(row.pixels.tobytes()).digest()


def _refuse_unreadable(error: OSError) -> None:
    raise ValueError(f"{error.filename}: cannot be read ({error.strerror}); make it readable")


def _content(path: Path) -> str | None:
    """Return what a file without a suffix is, if it is an image by its first bytes."""
    try:
        with path.open("rb") as file:
            kind = kinds.signature(file.read(kinds.LONGEST))
    except OSError:
        return None
    return f"{kind} without a suffix" if kind in kinds.READ else kind


def _check_entry(path: Path, name: Path, root: Path) -> None:
    """Refuse a file or folder that would be taken for something it is not."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name.name):
        raise ValueError(f"{str(path)!r}: its name has characters that are not text; rename it")
    if path.is_symlink():
        target = Path(os.path.realpath(path))
        if path.is_dir() or not target.is_relative_to(root):
            raise ValueError(
                f"{path}: a link to a folder or out of it; put the files there instead"
            )
        if not path.exists():
            raise ValueError(f"{path}: a link to nothing; remove it or put the file there")
    if not path.is_dir() and not path.is_file():  # opening a pipe would wait for who writes to it
        raise ValueError(f"{path}: a pipe, socket or device, not a file; remove it")
