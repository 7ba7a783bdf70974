"""The code that a stage runs, as a dependency: the files that it imports, with their hashes.

A hash is of what a file does: of its syntax tree without comments and docstrings. DVC compares the
manifests that stage `code` writes, and what lies in `.scratch` is known by the same hashes. Values
of `params.yaml` are dependencies of their own: `lirf.params` only says which are valid. It is left
out with all that is imported for it alone, and so is `stages.telling`, which people alone read.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import stages
from lirf.store import files

ROOT = Path(stages.__file__).parents[1]
"""The folder of the code that runs here."""

MANIFESTS = Path("data/code")
"""Where the manifests lie, as `dvc.yaml` has it, in the folder that a stage runs in."""

LEFT_OUT = ("lirf.params", "stages.telling")
"""Packages that no result depends on."""

Manifest = dict[str, str]
"""The hash of every file by its path below the root."""


def names(root: Path = ROOT) -> list[str]:
    """Return the names of all stages: the modules of `stages` that run as a command."""
    paths = sorted((root / "stages").glob("*.py"))
    return [path.stem for path in paths if f"\n    command.run({path.stem})\n" in path.read_text()]


def manifest(stage: str, root: Path = ROOT) -> Manifest:
    """Return what `stages.<stage>` imports, directly or not, with the hash of each file.

    A file that is no Python belongs to the module of its folder that has its name, as `page.html`
    and `page.css` belong to `page.py`.

    Raises:
        ValueError: there is no such stage, or a file is not valid Python.
    """
    if stage not in (known := names(root)):
        raise ValueError(f"stages/{stage}.py: no such stage; there are {', '.join(known)}")
    found: dict[Path, str] = {}
    pending = _locate(f"stages.{stage}", root)
    while pending:
        path = pending.pop()
        if path not in found:
            found[path], imported = _parse(path)
            found |= {other: files.sha256(other) for other in _beside(path)}
            pending += [file for name in imported for file in _locate(name, root)]
    return {path.relative_to(root).as_posix(): found[path] for path in sorted(found)}


def fingerprint(*stages: str, root: Path = ROOT, without: Collection[str] = ()) -> str:
    """Return one hash of all code of some stages, but for the files that `without` names."""
    together = {path: hash_ for stage in stages for path, hash_ in manifest(stage, root).items()}
    kept = [(path, together[path]) for path in sorted(together.keys() - set(without))]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()


def write(folder: Path, stage: str) -> None:
    """Write the manifest of a stage into `folder`, whole or not at all, unless it is there."""
    path, text = folder / f"{stage}.json", json.dumps(manifest(stage), indent=2) + "\n"
    if path.exists() and path.read_text() == text:
        return
    partial = path.with_suffix(".partial")
    with files.writing(path):
        partial.write_text(text)
        partial.replace(path)


def refresh(stage: str) -> None:
    """Bring the manifest of a stage that starts up to date, where DVC has one.

    DVC reads its dependencies again once the stage is done: what it records is the code that ran,
    even if a stage is asked for by its name alone after an edit.
    """
    if (MANIFESTS / f"{stage}.json").exists():
        write(MANIFESTS, stage)


def _locate(name: str, root: Path) -> list[Path]:
    """Return the files of a module and of the packages around it; none where it is not ours."""
    parts = name.split(".")
    if parts[0] not in {"lirf", "stages"} or _left_out(name):
        return []
    places = [root.joinpath(*parts[:end]) for end in range(1, len(parts) + 1)]
    paths = [path for place in places for path in (place / "__init__.py", place.with_suffix(".py"))]
    return [path for path in paths if path.is_file()]


def _beside(module: Path) -> Iterator[Path]:
    """Yield the files that belong to a module: of its name, and neither Python nor an editor's."""
    for path in module.parent.glob(f"{module.stem}.*"):
        suffix = path.suffix[1:]
        if path.stem == module.stem and suffix.isalnum() and not suffix.startswith("py"):
            yield path


def _left_out(name: str) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in LEFT_OUT)


def _parse(path: Path) -> tuple[str, frozenset[str]]:
    """Return the hash of a Python file, and every name that it imports."""
    try:
        return _parse_source(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ValueError(f"{path}: line {error.lineno}: {error.msg}") from None


@cache
def _parse_source(source: str) -> tuple[str, frozenset[str]]:
    tree = ast.parse(source)
    imported = frozenset(_imports(tree))
    bare = ast.unparse(_WithoutDocstrings().visit(tree))
    return hashlib.sha256(bare.encode()).hexdigest(), imported


def _imports(tree: ast.AST) -> Iterator[str]:
    """Yield every name that is imported anywhere but for type checking."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test).endswith("TYPE_CHECKING"):
        for node in tree.orelse:
            yield from _imports(node)
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module:
        yield from (f"{tree.module}.{alias.name}" for alias in tree.names)
    for node in ast.iter_child_nodes(tree):
        yield from _imports(node)


class _WithoutDocstrings(ast.NodeTransformer):
    """Drops every string that is a statement: of a module, class or function, and of a constant."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node
