"""Find damaged data, and bring it back where a good copy is left: `python -m pipeline.repair`.

DVC believes a file whose size and time are as it left them, and it believes its cache. Here every
byte of both is read. What is damaged goes; the cache gets what good outputs still have, outputs get
what the cache still has, and the next `dvc repro` makes the rest anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.utils.fs import remove

from stages.support.hashes import FOLDER, contents, md5

LOCK, RWLOCK = Path("dvc.lock"), Path(".dvc", "tmp", "rwlock")


@dataclass(frozen=True)
class Output:
    """An output of dvc.lock: its path, its hash, and whether the cache keeps it."""

    path: Path
    hash: str
    cached: bool


def repair(root: Path) -> Iterator[str]:
    """Repair the repository at `root`, and yield a line for all that was wrong.

    Raises:
        ValueError: a DVC command is at work there, or there is no repository.
    """
    yield from _drop_torn_files(root)
    try:
        with Repo(str(root)) as repo, lock_repo(repo):
            outputs = list(_outputs(repo))
            found = {one.path: contents(one.path) for one in outputs if one.path.exists()}
            whole = {one for one in outputs if one.hash in found.get(one.path, {})}
            yield from _clean(repo.cache.local)
            for one in whole:
                if one.cached:
                    _give(repo.cache.local, found[one.path])
            for one in outputs:
                if one not in whole:
                    yield from _restore(repo, one, root)
            yield f"{len(whole)} of {len(outputs)} outputs were whole"
    except LockError:
        raise ValueError(f"{root}: a DVC command is at work; wait for it") from None
    except DvcException as error:
        raise ValueError(" ".join(str(error).split())) from None


def _drop_torn_files(root: Path) -> Iterator[str]:
    """Remove what DVC was writing when it was killed, and cannot read now.

    Raises:
        ValueError: a process that the lock file names is alive.
    """
    path = root / RWLOCK
    try:
        document = json.loads(path.read_bytes()) if path.exists() else {}
        writers = document.get("write", {}).values()
        readers = [one for many in document.get("read", {}).values() for one in many]
        holders = {one["pid"] for one in [*writers, *readers]}
    except (ValueError, AttributeError, KeyError, TypeError):
        path.unlink()
        holders = set()
        yield f"{RWLOCK}: torn; removed"
    for pid in sorted(holders):
        if psutil.pid_exists(pid):
            raise ValueError(f"{RWLOCK}: process {pid} is at work; wait for it or end it")
    try:
        with Repo(str(root)) as repo:
            _ = repo.index.stages
    except DvcException as error:
        if LOCK.name not in str(error):
            raise ValueError(" ".join(str(error).split())) from None
        (root / LOCK).unlink()
        yield f"{LOCK}: torn; removed: `dvc repro` finds what it named in the cache"


def _outputs(repo: Repo) -> Iterator[Output]:
    """Yield the outputs that dvc.lock knows the hash of."""
    for stage in repo.index.stages:
        for out in stage.outs:
            if out.protocol == "local" and out.hash_info:
                yield Output(Path(out.fs_path), str(out.hash_info.value), bool(out.use_cache))


def _clean(cache: Any) -> Iterator[str]:
    """Remove the objects of the cache that are not what their names say."""
    objects = [path for path in Path(cache.path).glob("??/*") if path.is_file()]
    bad = [path for path in objects if md5(path) != f"{path.parent.name}{path.name}".split(".")[0]]
    for path in bad:
        path.unlink()
    if bad:
        yield f"cache: {len(bad)} of {len(objects)} objects were damaged; removed"


def _give(cache: Any, objects: Mapping[str, Path | bytes]) -> None:
    """Put into the cache what it lacks."""
    for hash_, content in objects.items():
        if not Path(cache.oid_to_path(hash_)).exists():
            if isinstance(content, bytes):
                cache.add_bytes(hash_, content)
            else:
                cache.add(str(content), cache.fs, hash_)
            cache.protect(cache.oid_to_path(hash_))


def _restore(repo: Repo, output: Output, root: Path) -> Iterator[str]:
    """Replace a damaged or missing output by what the cache has of it, all or nothing."""
    name = output.path.relative_to(root.resolve())
    was = "damaged" if output.path.exists() else "missing"
    if not output.cached:
        yield f"{name}: {was}, and only git keeps it; `git checkout {name}` or `dvc repro -f`"
        return
    remove(output.path)
    if _kept(repo.cache.local, output.hash):
        repo.checkout([str(output.path)], force=True)
        yield f"{name}: {was}; restored from the cache"
    else:
        yield f"{name}: {was}, and no good copy is left; `dvc repro` makes it anew"


def _kept(cache: Any, hash_: str) -> bool:
    """Return whether the cache has all of an output; it must be clean."""
    path = Path(cache.oid_to_path(hash_))
    if not hash_.endswith(FOLDER) or not path.exists():
        return path.exists()
    rows = json.loads(path.read_bytes())
    return all(Path(cache.oid_to_path(row["md5"])).exists() for row in rows)


def main() -> None:
    """Repair the repository in the current folder."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    try:
        for line in repair(Path()):
            print(line)  # noqa: T201
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
