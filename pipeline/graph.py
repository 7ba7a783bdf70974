"""The stages as DVC's own index knows them: order, rounds, what changed. Nothing is re-derived."""

from __future__ import annotations

import difflib
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides

from lirf import params
from stages.support.code import MANIFESTS

CODE = "code"
"""The stage whose outputs, the manifests of the code, decide with all else what is stale."""

BUSY_S = 20.0
"""How long another DVC command on the same paths is waited for."""


@dataclass(frozen=True)
class Stage:
    """One stage of `dvc.yaml`, with what a scheduler and the UI need of it."""

    name: str
    needs: frozenset[str]  # the stages whose outputs it reads
    resource: str  # meta.resource: "gpu", "cpu", or "" where the stage stays at home
    round: str  # meta.round: the subflow it belongs to, or ""
    role: str  # meta.role: of the model that it trains or measures, or ""
    inputs: tuple[str, ...]  # paths that it reads and another stage writes
    sources: tuple[str, ...]  # paths that it reads and no stage writes: code, the user's images
    params: tuple[str, ...]  # keys of params.yaml that it depends on
    loose: tuple[str, ...]  # outputs that DVC does not cache: small files kept in git
    metrics: tuple[str, ...]
    plots: tuple[str, ...]

    @property
    def manifests(self) -> tuple[str, ...]:
        """The inputs that stand for the code that it runs."""
        return tuple(path for path in self.inputs if Path(path).parent == MANIFESTS)


def read(root: Path) -> dict[str, Stage]:
    """Return every stage of the repository at `root`, upstream first.

    Raises:
        ValueError: `root` holds no DVC repository, or `dvc.yaml` is not valid.
    """
    import networkx  # noqa: PLC0415  # DVC's own dependency; its graphs are networkx graphs

    try:
        with Repo(str(root)) as repo:
            index = repo.index.graph
            made = {
                out.def_path
                for node in index
                if node.cmd
                for out in node.outs  # a `.dvc` file has outs and no command
            }
            place = {node: number for number, node in enumerate(repo.index.stages)}  # in the file
            order = networkx.lexicographical_topological_sort(index.reverse(), key=place.get)
            return {
                _name(node): Stage(
                    name=_name(node),
                    needs=frozenset(_name(other) for other in index.successors(node) if other.cmd),
                    resource=(node.meta or {}).get("resource", ""),
                    round=(node.meta or {}).get("round", ""),
                    role=(node.meta or {}).get("role", ""),
                    inputs=tuple(d.def_path for d in node.deps if _within(d.def_path, made)),
                    sources=tuple(
                        d.def_path
                        for d in node.deps
                        if not _within(d.def_path, made) and not hasattr(d, "params")
                    ),
                    params=tuple(key for d in node.deps for key in getattr(d, "params", ())),
                    loose=tuple(out.def_path for out in node.outs if not out.use_cache),
                    metrics=tuple(out.def_path for out in node.outs if out.metric),
                    plots=tuple(out.def_path for out in node.outs if out.plot),
                )
                for node in order
                if node.cmd
            }
    except DvcException as error:
        raise ValueError(f"{' '.join(str(error).split())}; `dvc status` says where") from None


def _name(node: Any) -> str:
    """Return a stage's name as `dvc repro` takes it at the root."""
    file = node.path_in_repo
    return node.name if file == "dvc.yaml" else f"{file}:{node.name}" if node.cmd else file


def _within(path: str, made: set[str]) -> bool:
    """Return whether `path` is one of `made`, or inside one."""
    return any(str(parent) in made for parent in (Path(path), *Path(path).parents))


def changed(root: Path) -> set[str]:
    """Return the stages that DVC finds changed; one below a changed stage need not be listed.

    Raises:
        ValueError: another DVC command works on an output and does not end.
    """
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            with Repo(str(root), _wait_for_lock=True) as repo:
                # DVC's own names for stages depend on the current folder.
                names = {node.addressing: _name(node) for node in repo.index.stages}
                return {names[stage] for stage in repo.status()}
        except LockError as error:  # on a path: DVC does not wait for those
            if time.monotonic() > deadline:
                raise ValueError(" ".join(str(error).split())) from None
            time.sleep(0.5)


def select(stages: dict[str, Stage], target: str, upstream: bool) -> dict[str, Stage]:
    """Return `target` with or without what it depends on.

    An empty target is what plain `dvc repro` means: every stage of the `dvc.yaml` at the root.

    Raises:
        ValueError: there is no such stage; the line names the nearest.
    """
    if not target:
        if not upstream:
            raise ValueError("upstream = false: needs a target, one stage such as train@r01")
        return {name: stage for name, stage in stages.items() if ":" not in name}
    if target not in stages:
        near = difflib.get_close_matches(target, stages, n=1, cutoff=0.0)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"target = {target}: there is no such stage{hint}")
    if not upstream:
        return {target: stages[target]}
    wanted, pending = set[str](), [target]
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending += stages[name].needs
    return {name: stage for name, stage in stages.items() if name in wanted}


def override(root: Path, overrides: list[str]) -> None:
    """Write `overrides` into `params.yaml`, in the form of `dvc exp run -S` and by its code.

    A copy is changed and checked first: `params.yaml` is replaced whole, or not at all.

    Raises:
        ValueError: a malformed override, or a result that `lirf.params` refuses.
    """
    path = root / "params.yaml"
    own = [line.removeprefix("params.yaml:") for line in overrides]
    with tempfile.TemporaryDirectory(dir=root / ".dvc" / "tmp") as folder:
        copy = Path(folder) / path.name
        if path.exists():
            shutil.copy(path, copy)
        if own:
            try:
                apply_overrides(copy, own)
            except (DvcException, OSError) as error:
                cause = error.__cause__ or error
                reason = " ".join(str(cause).split())
                raise ValueError(f"overrides = {' '.join(overrides)}: {reason}") from None
        try:
            params.load(copy)
        except ValueError as error:
            raise ValueError(str(error).replace(str(copy), path.name)) from None
        if own:
            copy.replace(path)
