"""Recipes: the numbers of `params.yaml` that suit a kind of images, and how they get into it.

Every recipe names the same keys, so that a second one leaves nothing of the first.
"""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from lirf.params.base import Section, Text
from lirf.params.overrides import Overrides, override
from lirf.params.reading import read, validate
from lirf.params.root import Params

FOLDER = "recipes"
IMAGES = "prepare.images"
FIRST = "# uv run dvc repro"
"""What the header of a `params.yaml` begins with."""

WIDTH, LONGEST = 100, 2**16  # of a comment, of a value


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
    where = _where(path, name)
    return validate(Params, _document(read(path), recipe, images, where), where)


def rewrite(path: Path, name: str, recipe: Recipe, images: str) -> str:
    """Return the text of `params.yaml` at `path` with a recipe's numbers for a folder of images.

    Its first lines say what the recipe is. All else stays to the byte, comments included.

    Raises:
        ValueError: one line that names the file, the key, the value and the remedy.
    """
    before, where = read(path), _where(path, name)
    document = _document(before, recipe, images, where)
    validate(Params, document, where)
    text = path.read_text(encoding="utf-8-sig")
    ends = "\r\n" if b"\r\n" in path.read_bytes() else "\n"  # of lines, as on Windows
    root = YAML(typ="safe", pure=True).compose(text)
    changes = [_edit(*change) for change in _changes(root, 0, before, document, where)]
    for start, end, written in sorted(changes, reverse=True):
        text = text[:start] + written + text[end:]
    head, mark, rest = text.partition("\n#\n")
    text = _header(name, recipe) + mark + rest if head.startswith(FIRST) else text
    return text.replace("\n", ends)


def _where(path: Path, name: str) -> str:
    return f"{path} with recipe {name}"


def _document(before: dict[str, Any], recipe: Recipe, images: str, where: str) -> dict[str, Any]:
    """Return a parsed `params.yaml` with a recipe's numbers."""
    return override(before, {**recipe.params, IMAGES: images}, where)


def _header(name: str, recipe: Recipe) -> str:
    """Return the comment that a `params.yaml` of this recipe begins with."""
    lines = [
        f"{FIRST}    runs everything; after an edit, what depends on it and nothing else.",
        f"# Recipe {name}: {recipe.suits}.",
        f"# Time: {recipe.time}. Memory: {recipe.memory}.",
        f"# Expect: {recipe.expect}.",
    ]
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="# ") for line in lines)


def _changes(
    node: Node, colon: int, before: Any, value: Any, where: str
) -> Iterator[tuple[Node, int, Any]]:
    """Yield the parts of a YAML document that are not as in `value`, and what they shall be.

    Between the two, the end of the colon before the part. A mapping in one line is a part by itself
    where it shall have other keys.
    """
    if isinstance(node, MappingNode) and isinstance(value, dict):
        if before.keys() == value.keys():
            for key, below in node.value:
                name, end = key.value, key.end_mark.index + 1
                yield from _changes(below, end, before[name], value[name], where)
        elif node.flow_style:
            yield node, colon, value
        else:
            odd = ", ".join(sorted(before.keys() ^ value.keys()))
            raise ValueError(f"{where}: {odd}: a recipe keeps the names of the shipped params.yaml")
    elif before != value:
        yield node, colon, value


def _edit(node: Node, colon: int, value: Any) -> tuple[int, int, str]:
    """Return where a part of a YAML document begins and ends, and what shall stand there.

    In the form in which DVC writes it: a list has a line for each item, and null is nothing.
    """
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, SequenceNode) and not node.flow_style and isinstance(value, list):
        items, line = [f"- {_written(one)}" for one in value], f"\n{' ' * node.start_mark.column}"
        return start, node.value[-1].end_mark.index, line.join(items)
    if start == end:  # nothing: the parser places it anywhere
        return colon, colon, f" {_written(value)}"
    return (colon, end, "") if value is None else (start, end, _written(value))


def _written(value: Any) -> str:
    """Write a value in one line, as DVC's writer does where that is one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_written(one)}' for key, one in value.items())}}}"
    if isinstance(value, list) or value is None:
        return json.dumps(value, ensure_ascii=False)
    writer, stream = YAML(), io.StringIO()
    writer.width = LONGEST
    writer.dump([value], stream)
    line = stream.getvalue().removeprefix("- ").removesuffix("\n")
    return json.dumps(value, ensure_ascii=False) if "\n" in line else line
