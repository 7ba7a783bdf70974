"""What the stages measured, read back and put side by side: for the table and for the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lirf.measure.table import CONTROLS, MEASURED
from lirf.params import Params
from lirf.store import files

METRICS = [*(metric.key for metric in MEASURED), *CONTROLS]
NO_PROTOCOL = {*METRICS, "frechet_reason", "train_steps", "loss"}

Document = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """The documents of all models by name: those of the loop in order, then the baselines.

    `rows` hold a model's metrics, the bank that it was trained on and what its round admitted;
    `documents` are those of `evaluate`, with the protocol; `diagnoses` those of `diagnose`.
    """

    rows: dict[str, Document]
    documents: dict[str, Document]
    diagnoses: dict[str, Document]


def read(params: Params, metrics: Path) -> Results:
    """Read the results of the rounds of `params.yaml`, the final model and the baselines.

    Raises:
        ValueError: a result is missing, or two were obtained by different protocols.
    """
    runs = [*params.loop, *params.baselines]
    documents = {run: files.read_json(metrics / f"{run}.json") for run in runs}
    _require_one_protocol(documents, params.final, metrics)
    diagnoses = {run: files.read_json(metrics / "diagnosis" / f"{run}.json") for run in runs}
    return Results(_rows(params, documents, metrics), documents, diagnoses)


def _require_one_protocol(documents: Mapping[str, Document], first: str, metrics: Path) -> None:
    """Raise unless all results can be compared."""
    expected = documents[first]
    for run, document in documents.items():
        for key in sorted({*expected, *document} - NO_PROTOCOL):
            if document.get(key) != expected.get(key):
                raise ValueError(
                    f"{metrics / run}.json: {key} is {document.get(key)}, but"
                    f" {expected.get(key)} in {first}.json; rerun `dvc repro` for both"
                )


def _rows(params: Params, documents: Mapping[str, Document], metrics: Path) -> dict[str, Document]:
    """Return the results with the bank that each model was trained on, and its admission."""
    prepared = files.read_json(metrics / "prepare.json")
    bank_rows = {"r00": prepared["train"] + prepared["mirrored"]}
    admissions = {}
    for run in params.rounds:
        admissions[run] = files.read_json(metrics / "admission" / f"{run}.json")
        bank_rows[run] = admissions[run]["bank_after"]
    return {
        run: {
            "round": run,
            "train_steps": document["train_steps"],
            "bank_rows": bank_rows[params.models[run].after],
            **{key: document.get(key) for key in METRICS},
            **admissions.get(run, {}),
        }
        for run, document in documents.items()
    }


def losses(params: Params, plots: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the steps and losses of every model; the loop's follow one another.

    A model that started fresh counts its own steps from 1: they are moved behind those before.

    Raises:
        ValueError: a curve is missing.
    """
    found, end = {}, 0.0
    for run in params.loop:
        steps, values = _loss(plots / run)
        found[run] = (steps + end if params.train.start == "fresh" else steps, values)
        end = float(found[run][0][-1]) if len(steps) else end
    return found | {run: _loss(plots / run) for run in params.baselines}


def _loss(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns `step` and `loss` of a model's curve."""
    columns = read_tsv(folder / "loss.tsv")
    return columns["step"], columns["loss"]


def read_tsv(path: Path) -> dict[str, np.ndarray]:
    """Read the columns of a curve as float64, NaN where there is no value.

    Raises:
        ValueError: the file is missing.
    """
    if not path.is_file():
        raise ValueError(f"{path}: missing; `dvc checkout` restores it, `dvc repro` makes it")
    header, *lines = path.read_text().splitlines()
    names = header.split("\t")
    cells = [[float(cell) if cell else np.nan for cell in line.split("\t")] for line in lines]
    return dict(zip(names, np.array(cells).reshape(-1, len(names)).T, strict=True))
