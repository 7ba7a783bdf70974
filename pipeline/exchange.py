"""What travels between the clone that a run was started in and a worker's clone.

Data goes through the DVC remote. What DVC does not keep there travels with the run: the lock
file, `params.yaml`, and the small outputs that belong to git (metrics).
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import socket
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc.utils.serialize import modify_yaml
from ruamel.yaml import YAML

from pipeline.graph import Stage
from stages.support import code

LOCK = "dvc.lock"
TOLD = (LOCK, "params.yaml")  # a worker's clone gets these from the run
LARGEST = 256 << 10  # bytes of an output that is in no cache: Prefect's database carries it


@dataclass(frozen=True)
class Order:
    """A stage to reproduce in another clone; an empty name: only to take the files."""

    name: str
    run: str  # the id of the flow run that orders
    home: str  # the clone that orders
    force: bool
    files: dict[str, str]  # path: packed content; what TOLD names and the uncached inputs
    inputs: list[str]  # paths to pull from the DVC remote
    sources: dict[str, str]  # path: SHA-256; what both clones must have alike
    code: dict[str, str]  # path: hash; the code that it runs, as its manifest has it
    gone: list[str] = field(default_factory=list)  # of TOLD, what home does not have


def clone(root: Path) -> str:
    """Return the name of the clone at `root`: its machine, and which of the machine's folders."""
    place = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]
    return f"{socket.gethostname().split('.')[0].lower()}-{place}"


def order(
    root: Path, stage: Stage | None, loose: Iterable[str], run: str, force: bool = False
) -> Order:
    """Return what a worker must know to reproduce `stage`; `loose` are the uncached outputs."""
    inputs = stage.inputs if stage else ()
    wanted = [path for path in loose if path in inputs] if stage else small(root, loose)
    travel = [*TOLD, *wanted]
    sources = ("dvc.yaml", *stage.sources) if stage else ()
    return Order(
        name=stage.name if stage else "",
        run=run,
        home=clone(root),
        force=force,
        files={path: pack(root / path) for path in travel if (root / path).exists()},
        inputs=[path for path in inputs if path not in set(loose)],
        sources={path: digest(root / path) for path in sources},
        code=_code(root, stage) if stage else {},
        gone=[path for path in TOLD if not (root / path).exists()],
    )


def unpack(root: Path, files: dict[str, str], gone: Iterable[str] = ()) -> None:
    """Write `files` below `root`, each whole or not at all."""
    gone = list(gone)
    for name in (*gone, *files):
        if not (root / name).resolve().is_relative_to(root.resolve()):
            raise ValueError(f"{name}: is outside of the repository")
    for name in gone:
        (root / name).unlink(missing_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(zlib.decompress(base64.b64decode(content)))
        partial.replace(path)


def pack(path: Path) -> str:
    """Return a small file's content, compressed, in base64.

    Raises:
        ValueError: it is not a file, or too large to travel with a run.
    """
    if not path.is_file():
        raise ValueError(f"{path}: an uncached output must be a file; let DVC cache it")
    data = path.read_bytes()
    if len(data) > LARGEST:
        raise ValueError(
            f"{path}: {len(data) >> 10} KiB uncached, at most {LARGEST >> 10}; let DVC cache it"
        )
    return base64.b64encode(zlib.compress(data)).decode()


def small(root: Path, paths: Iterable[str]) -> list[str]:
    """Return those of `paths` that fit together into one order, the smallest first.

    What does not fit is a picture of a report, which git brings.
    """
    sizes = {path: (root / path).stat().st_size for path in paths if (root / path).is_file()}
    files = sorted(sizes, key=sizes.__getitem__)
    totals = itertools.accumulate(sizes[path] for path in files)
    return [path for path, total in zip(files, totals, strict=True) if total <= LARGEST // 2]


def _code(root: Path, stage: Stage) -> dict[str, str]:
    manifests = [json.loads((root / path).read_bytes()) for path in stage.manifests]
    return {path: hash_ for manifest in manifests for path, hash_ in manifest.items()}


def check(root: Path, told: Order) -> None:
    """Raise ValueError where this clone's code is not that of the run."""
    found = {path: digest(root / path) for path in told.sources | told.code}
    if told.code:
        found |= code.manifest(told.name.rpartition(":")[2].partition("@")[0], root)
    for path, wanted in (told.sources | told.code).items():
        if found[path] != wanted:
            what = "differs from" if found[path] else "is missing here, not in"
            raise ValueError(
                f"{clone(root)}: {path} {what} the clone that the run was started in;"
                " bring both to one commit (`git pull`) and one Python"
            )


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's names and contents; "" where it is missing."""
    if not path.exists():
        return ""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    found = hashlib.sha256()
    for file in files:
        if "__pycache__" not in file.parts:
            found.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
            found.update(file.read_bytes())
    return found.hexdigest()


def entry(root: Path, name: str) -> str:
    """Return the lock entry of a stage, as JSON."""
    return json.dumps(YAML(typ="safe").load(root / LOCK)["stages"][name])


def adopt(root: Path, name: str, lock_entry: str) -> None:
    """Write a lock entry that another clone's DVC made, by DVC's own hand and under its lock."""
    with Repo(str(root), _wait_for_lock=True) as repo, repo.lock, modify_yaml(root / LOCK) as data:
        if not data:
            data["schema"] = "2.0"
        stages: dict[str, Any] = data.setdefault("stages", {})
        stages[name] = json.loads(lock_entry)
