"""What a person sees of a run in the UI: progress, figures of a round, pictures, the comparison."""

from __future__ import annotations

import base64
import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from dvc.utils.flatten import flatten
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from pipeline.graph import Stage

LARGEST = 4 << 20  # bytes of a picture that still goes into the server's database


def key(*words: str) -> str:
    """Return an artifact's key: lowercase letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


class ProgressBar:
    """A progress artifact of a stage, or of the run where none is named; made when first shown."""

    def __init__(self, stage: str = "") -> None:
        self._key = key("progress", stage)
        self._artifact: UUID | None = None
        self._label = ""

    async def show(self, percent: float, line: str, label: str = "") -> None:
        """Move the bar and say where it is. A new label, such as a second pass, is a new bar."""
        if self._artifact is None or label != self._label:
            self._label = label
            made = await acreate_progress_artifact(percent, key=self._key, description=line)
            assert isinstance(made, UUID)
            self._artifact = made
        else:
            await aupdate_progress_artifact(self._artifact, percent, line)


async def show_round(name: str, stages: Iterable[Stage], root: Path) -> None:
    """Publish a round's figures as a table and its pictures as one page."""
    stages = list(stages)
    rows = [row for stage in stages for row in figures(stage, root)]
    if rows:
        await acreate_table_artifact(
            rows, key=key(name, "figures"), description=f"The figures of {name}"
        )
    pages = [picture(root / path) for stage in stages for path in stage.plots if _png(path)]
    if pages:
        await acreate_markdown_artifact(
            "\n\n".join(pages), key=key(name, "pictures"), description=f"What {name} draws"
        )


async def show_comparison(stages: Iterable[Stage], root: Path) -> None:
    """Publish one table: a row per figure, a column per model, the baselines last."""
    table = comparison(stages, root)
    if table:
        await acreate_table_artifact(
            table, key="comparison", description="Every model side by side"
        )


def figures(stage: Stage, root: Path) -> list[dict[str, Any]]:
    """Return a stage's metrics, one row per figure, and the last value of each curve."""
    rows = [
        {"stage": stage.name, "figure": figure, "value": value}
        for path in stage.metrics
        for figure, value in _leaves(root / path).items()
    ]
    for path in stage.plots:
        if path.endswith(".tsv") and (root / path).exists():
            last = _last_row(root / path)
            rows += [
                {"stage": stage.name, "figure": f"{Path(path).stem}, last: {column}", "value": cell}
                for column, cell in last.items()
            ]
    return rows


def comparison(stages: Iterable[Stage], root: Path) -> list[dict[str, Any]]:
    """Return the metrics of the models that a role has been given to, the baselines last.

    What is the same for all models, their protocol, is left out: it would bury the rest.
    """
    columns: dict[str, dict[str, Any]] = {}
    for stage in sorted(stages, key=lambda stage: stage.role == "baseline"):
        model = stage.name.partition("@")[2]
        for path in stage.metrics if stage.role else ():
            columns.setdefault(model, {}).update(_leaves(root / path))
    columns = {model: found for model, found in columns.items() if found}
    rows = {
        figure: {model: column.get(figure, "") for model, column in columns.items()}
        for figure in dict.fromkeys(figure for column in columns.values() for figure in column)
    }
    return [{"figure": figure, **row} for figure, row in rows.items() if len(set(row.values())) > 1]


def picture(path: Path) -> str:
    """Return a PNG as markdown that needs nothing but itself."""
    title = f"### {path.stem}\n\n"
    try:
        data = path.read_bytes()
    except OSError:
        return f"{title}{path} is missing."
    if len(data) > LARGEST:
        return f"{title}{path} has {len(data) >> 20} MiB: too large to show here."
    return f"{title}![{path.stem}](data:image/png;base64,{base64.b64encode(data).decode()})"


def _png(path: str) -> bool:
    return path.endswith(".png")


def _leaves(path: Path) -> dict[str, Any]:
    """Return the values of a JSON file by their dotted names; nothing where it is none."""
    try:
        found = flatten(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}
    rounded = {k: round(v, 6) if isinstance(v, float) else v for k, v in found.items()}
    return {name: value for name, value in rounded.items() if value is not None}


def _last_row(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return next(reversed(list(csv.DictReader(file, delimiter="\t"))), {})
