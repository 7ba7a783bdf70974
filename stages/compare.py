"""Put the methods of a plan side by side: tables, and pictures of what each gains and pays."""

from __future__ import annotations

from pathlib import Path

from lirf.params import Params
from lirf.studies import comparison, tradeoff
from lirf.studies import plan as plans
from stages.support import command
from stages.support.command import Out


def compare(
    params: Params,  # noqa: ARG001 - every stage has it
    plan: Path,
    runs: Path,
    table: Out,
    picture: Out,
    ablations: Out,
    curves: Out,
) -> None:
    """Read the rows in `runs` and show those that `plan` asks for.

    `table` and `picture` are of the plan's headline study, `ablations` and the folder `curves`
    of the others.

    Raises:
        ValueError: there are no rows, or two were measured by different protocols.
    """
    agreed = plans.load(plan)
    if not runs.is_file():
        raise ValueError(f"{runs}: missing; `python -m pipeline.comparison` makes it")
    found = comparison.summarise(agreed, comparison.read(runs))
    shown = dict.fromkeys(study for (study, _), methods in found.items() if methods)
    if not shown:
        raise ValueError(f"{runs}: no row of {plan}; run `python -m pipeline.comparison`")
    comparison.require_one_protocol(found, str(runs))
    table.write_text(comparison.headline(agreed, found))
    tradeoff.tradeoff(agreed, found, picture)
    # The name that the folder will have; while it is written it has another.
    folder = curves.name.removeprefix(".").removesuffix(".partial")
    ablations.write_text(comparison.ablations(agreed, found, folder))
    curves.mkdir()
    for name in shown:
        if name != agreed.headline:
            tradeoff.ablation(agreed, name, found, curves / f"{name}.png")


if __name__ == "__main__":
    command.run(compare)
