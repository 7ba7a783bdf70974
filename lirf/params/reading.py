"""Read and validate YAML; every mistake becomes one line that names key, value and remedy."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML, YAMLError

from lirf.params.root import Params
from lirf.store import files

Document = TypeVar("Document", bound=BaseModel)
Study = TypeVar("Study", bound=Params)


def load(path: Path) -> Params:
    """Read and validate `path`.

    Raises:
        ValueError: one line that names the file, the key, the value and the remedy.
    """
    return validate(Params, read(path), str(path))


def load_study(model: type[Study], path: Path, own: Path) -> Study:
    """Read and validate `path`, a `params.yaml`, together with a study's own file.

    Raises:
        ValueError: one line that names the file, the key, the value and the remedy.
    """
    load(path)  # its mistakes are named as its own
    document, section = read(path), read(own)
    for key in document.keys() & section.keys():
        raise ValueError(f"{own}: {key}: is a section of {path}; remove it here")
    return validate(model, document | section, str(own))


def read(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ValueError: one line: the file is missing, not YAML or not a mapping.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; run from the project's folder")
    try:
        document = YAML(typ="safe", pure=True).load(path.read_bytes())
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise ValueError(f"{path}: not valid YAML{where}: {files.plain(problem)}") from None
    except Exception as error:  # the parser lets through whatever it runs into
        reason = files.plain(error) or type(error).__name__
        raise ValueError(f"{path}: not valid YAML: {reason}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path}: must be a mapping of sections, is {type(document).__name__}")
    return document


def validate(model: type[Document], document: Mapping[str, Any], name: str) -> Document:
    """Return `document` as a `model`; errors begin with `name`.

    Raises:
        ValueError: one line that names the key, the value and the remedy.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A mistyped key is both unknown and missing: the former names the remedy.
        first = min(errors, key=lambda one: one["type"] != "extra_forbidden")
        raise ValueError(f"{name}: {files.plain(_explain(model, first))}") from None


def _explain(model: type[BaseModel], error: ErrorDetails) -> str:
    """Turn pydantic's first complaint into one line: key, value, remedy."""
    path, context = error["loc"], error.get("ctx", {})
    key = ".".join(part for part in _locate(model, path)[0] if part != "[key]")
    match error["type"]:
        case "value_error":  # ours: it already says everything
            return str(context["error"])
        case "extra_forbidden":
            valid = sorted(_locate(model, path[:-1])[1])
            near = difflib.get_close_matches(str(path[-1]), valid, n=1, cutoff=0.0)[0]
            return f"{key}: unknown key; did you mean `{near}`? (valid: {', '.join(valid)})"
        case "missing":
            return f"{key} is missing; add it"
        case "too_short" if key == "rounds":
            return "rounds = {}: there must be at least one; add `r01: {after: r00, lambda: 0.8}`"
        case "union_tag_invalid":
            tag = context["discriminator"].strip("'")
            return f"{key}.{tag} = {context['tag']!r}: must be one of {context['expected_tags']}"
        case _:
            message = error["msg"].removeprefix("Input ").removeprefix("String ")
            return f"{key} = {reprlib.repr(error['input'])}: {message}"


def _locate(annotation: Any, path: Sequence[int | str]) -> tuple[list[str], set[str]]:
    """Return pydantic's `path` without the tags of unions, and the keys that are valid there."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        if not path:
            return [], set(fields)
        if path[0] in fields:
            below, keys = _locate(fields[str(path[0])].annotation, path[1:])
            return [str(path[0]), *below], keys
        literals = [f.annotation for f in fields.values() if get_origin(f.annotation) is Literal]
        if path[0] in {tag for literal in literals for tag in get_args(literal)}:
            return _locate(annotation, path[1:])
    elif path and get_origin(annotation) in (dict, list, tuple):
        below, keys = _locate(get_args(annotation)[-1], path[1:])
        return [str(path[0]), *below], keys
    elif members := get_args(annotation):
        found = [_locate(member, path) for member in members]
        return min((one[0] for one in found), key=len), set[str]().union(*(k for _, k in found))
    return [str(part) for part in path], set()
