"""Put the results of all models together: tables, curves, pictures side by side."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from lirf.params import Params
from lirf.report import figures, pictures, tables
from lirf.report import report as reporting
from stages.support import command, results
from stages.support.command import Out


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
    """Gather the rounds of `params.yaml`, the final model and the baselines.

    `rounds` and `table` hold a row a model, `curves` draws them; `losses` draws training,
    `samples` shows baselines and final model side by side, `collapse` draws the diagnoses.

    Raises:
        ValueError: a result is missing, or two were obtained by different protocols.
    """
    found = results.read(params, metrics)
    base = params.baseline
    loss = results.losses(params, plots)
    diagnoses = {run: {"round": run, **document} for run, document in found.diagnoses.items()}
    side_by_side = _side_by_side(plots, [*params.baselines, params.final])

    rounds.write_text(tables.tsv(list(found.rows.values())))
    protocol = reporting.protocol_line(found.documents[params.final])
    in_order = [found.rows[run] for run in (*params.baselines, *params.loop)]
    table.write_text(reporting.table(in_order, protocol))
    in_loop = [found.rows[run] for run in params.loop]
    figures.curves(in_loop, found.rows[base] if base else None, curves)
    in_turn = {run: loss[run] for run in params.loop}
    figures.losses(in_turn, loss[base] if base else None, losses)
    collapsed = [diagnoses[run] for run in params.loop]
    figures.collapse(collapsed, diagnoses[base] if base else None, collapse)
    pictures.save(side_by_side, samples)


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
