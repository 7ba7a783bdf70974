"""Put the results of all models together: tables, curves, pictures side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lirf import files, pictures
from lirf import report as reporting
from lirf.params import Params
from stages import command
from stages.command import Out

METRICS = [column.key for column in reporting.COLUMNS if column.key != "bank_rows"]
NO_PROTOCOL = {*METRICS, "frechet_reason", "train_steps", "loss"}


def report(
    params: Params,
    metrics: Path,
    plots: Path,
    rounds: Out,
    curves: Out,
    losses: Out,
    samples: Out,
    collapse: Out,
    table: Out,
) -> None:
    """Gather the rounds of `params.yaml`, the final model and the baseline.

    `rounds` and `table` hold a row a model, `curves` draws them; `losses` draws training,
    `samples` shows baseline and final model side by side, `collapse` draws the diagnoses.

    Raises:
        ValueError: a result is missing, or two were obtained by different protocols.
    """
    loop = [*params.rounds, "final"]
    documents = {run: files.read_json(metrics / f"{run}.json") for run in [*loop, "baseline"]}
    _require_one_protocol(documents, metrics)
    results = _results(params, documents, metrics)
    loss = _curves(params, plots)
    found = {run: {"round": run, **_read_diagnosis(metrics, run)} for run in documents}
    side_by_side = _side_by_side(plots, ["baseline", "final"])

    rounds.write_text(reporting.tsv([results[run] for run in [*loop, "baseline"]]))
    protocol = reporting.protocol_line(documents["final"])
    table.write_text(reporting.table([results[run] for run in ["baseline", *loop]], protocol))
    reporting.curves([results[run] for run in loop], results["baseline"], curves)
    reporting.losses({run: loss[run] for run in loop}, loss["baseline"], losses)
    reporting.collapse([found[run] for run in loop], found["baseline"], collapse)
    pictures.save(side_by_side, samples)


def _require_one_protocol(documents: Mapping[str, dict[str, Any]], metrics: Path) -> None:
    """Raise unless all results can be compared."""
    expected = documents["final"]
    for run, document in documents.items():
        for key in sorted({*expected, *document} - NO_PROTOCOL):
            if document.get(key) != expected.get(key):
                raise ValueError(
                    f"{metrics / run}.json: {key} is {document.get(key)}, but"
                    f" {expected.get(key)} in final.json; rerun `dvc repro` for both"
                )


def _results(
    params: Params, documents: Mapping[str, dict[str, Any]], metrics: Path
) -> dict[str, dict[str, Any]]:
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
            **{key: document[key] for key in METRICS},
            **admissions.get(run, {}),
        }
        for run, document in documents.items()
    }


def _read_diagnosis(metrics: Path, run: str) -> dict[str, Any]:
    return files.read_json(metrics / "diagnosis" / f"{run}.json")


def _curves(params: Params, plots: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the steps and losses of every model; the loop's follow one another.

    A model that started fresh counts its own steps from 1: they are moved behind those before.
    """
    found, end = {}, 0.0
    for run in [*params.rounds, "final"]:
        steps, losses = _read_curve(plots / run / "loss.tsv")
        found[run] = (steps + end if params.train.start == "fresh" else steps, losses)
        end = float(found[run][0][-1]) if len(steps) else end
    return {**found, "baseline": _read_curve(plots / "baseline" / "loss.tsv")}


def _read_curve(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the columns `step` and `loss`."""
    if not path.is_file():
        raise ValueError(f"{path}: missing; `dvc checkout` restores it, `dvc repro` makes it")
    header, *lines = path.read_text().splitlines()
    names = header.split("\t")
    values = np.array([line.split("\t") for line in lines]).reshape(-1, len(names))
    return (
        values[:, names.index("step")].astype(float),
        values[:, names.index("loss")].astype(float),
    )


def _side_by_side(plots: Path, runs: list[str]) -> Image.Image:
    """Show the models' samples beside one another, with their nearest training images below."""
    columns = []
    for run in runs:
        with (
            Image.open(plots / run / "grid.png") as grid,
            Image.open(plots / run / "nearest.png") as nearest,
        ):
            columns.append(pictures.stack([grid.convert("RGB"), nearest.convert("RGB")], gap=0))
    return pictures.beside(columns)


if __name__ == "__main__":
    command.run(report)
