"""Recipes: the numbers of `params.yaml` that suit a kind of images, and how they get into it.

Every recipe names the same keys, so that a second one leaves nothing of the first.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node

from lirf.params.base import Section, Text
from lirf.params.overrides import Overrides, override
from lirf.params.reading import read, validate
from lirf.params.root import Params

FOLDER = "recipes"
IMAGES = "prepare.images"
FIRST = "# uv run dvc repro"
"""What the header of a `params.yaml` begins with."""

PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
WIDTH = 100


class Recipe(Section):
    """Overrides of `params.yaml` for a kind of images, and what is known of a whole run with them.

    `time` and `memory` say what was measured, and on what; `expect` what comes out.
    """

    suits: Text
    time: Text
    memory: Text
    expect: Text
    params: Overrides


def load(root: Path, name: str) -> Recipe:
    """Read the recipe `name` of the project at `root`.

    Raises:
        ValueError: one line: there is no such recipe, or what is wrong in it.
    """
    path = root / FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in path.parent.glob("*.yaml"))) or "none"
        raise ValueError(f"{path}: no such recipe; there are: {known}")
    return validate(Recipe, read(path), str(path))


def numbers(path: Path, name: str, recipe: Recipe, images: str) -> Params:
    """Return what `rewrite` makes of `params.yaml` at `path`, validated.

    Raises:
        ValueError: one line that names the file, the key, the value and the remedy.
    """
    return validate(Params, _document(path, name, recipe, images), _where(path, name))


def rewrite(path: Path, name: str, recipe: Recipe, images: str) -> str:
    """Return the text of `params.yaml` at `path` with a recipe's numbers for a folder of images.

    Its first lines say what the recipe is. All else stays to the byte, comments included.

    Raises:
        ValueError: one line that names the file, the key, the value and the remedy.
    """
    document, where = _document(path, name, recipe, images), _where(path, name)
    validate(Params, document, where)
    text = path.read_text(encoding="utf-8-sig")
    ends = "\r\n" if b"\r\n" in path.read_bytes() else "\n"  # of lines, as on Windows
    root = YAML(typ="safe", pure=True).compose(text)
    changes = {_span(node): value for node, value in _changes(root, document, text, where)}
    for (start, end), value in sorted(changes.items(), reverse=True):
        text = text[:start] + _written(value) + text[end:]
    head, mark, rest = text.partition("\n#\n")
    text = _header(name, recipe) + mark + rest if head.startswith(FIRST) else text
    return text.replace("\n", ends)


def _where(path: Path, name: str) -> str:
    return f"{path} with recipe {name}"


def _document(path: Path, name: str, recipe: Recipe, images: str) -> dict[str, Any]:
    """Return the parsed `params.yaml` with a recipe's numbers."""
    return override(read(path), {**recipe.params, IMAGES: images}, _where(path, name))


def _header(name: str, recipe: Recipe) -> str:
    """Return the comment that a `params.yaml` of this recipe begins with."""
    lines = [
        f"{FIRST}    runs everything; after an edit, what depends on it and nothing else.",
        f"# Recipe {name}: {recipe.suits}.",
        f"# Time: {recipe.time}. Memory: {recipe.memory}.",
        f"# Expect: {recipe.expect}.",
    ]
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="# ") for line in lines)


def _changes(node: Node, value: Any, text: str, where: str) -> Iterator[tuple[Node, Any]]:
    """Yield the parts of a YAML document that are not as in `value`, and what they shall be.

    A mapping in one line is a part by itself where it shall have other keys.
    """
    if isinstance(node, MappingNode) and isinstance(value, dict):
        below = {key.value: one for key, one in node.value}
        if below.keys() != value.keys():
            if node.flow_style:
                yield node, value
                return
            odd = ", ".join(sorted(below.keys() ^ value.keys()))
            raise ValueError(f"{where}: {odd}: a recipe keeps the names of the shipped params.yaml")
        for key, one in below.items():
            yield from _changes(one, value[key], text, where)
    elif _value(text[slice(*_span(node))]) != value:
        yield node, value


def _span(node: Node) -> tuple[int, int]:
    """Return where a scalar, or a list or mapping in one line, begins and ends in the text."""
    return node.start_mark.index, node.end_mark.index


def _value(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def _written(value: Any) -> str:
    """Write a value in one line: YAML reads JSON, and words as they are."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_written(one)}' for key, one in value.items())}}}"
    bare = isinstance(value, str) and PLAIN.fullmatch(value) and _value(value) == value
    return value if bare else json.dumps(value, ensure_ascii=False)
