"""The workflow in Prefect: `python -m pipeline.flow` or a run of its deployment."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Failed

from pipeline import devices, graph, interrupt, lock, overall, remote, server, stage
from pipeline.schedule import Schedule
from pipeline.stage import Place


def _name() -> str:
    """Return what the UI calls the run."""
    return flow_run.parameters.get("target") or "everything"


@flow(name="lirf", flow_run_name=_name)
async def workflow(
    target: str = "",
    upstream: bool = True,
    force: bool = False,
    overrides: list[str] | None = None,
    jobs: int = 2,
    workers: bool = False,
) -> State:
    """Bring a stage, or the whole workflow, up to date.

    Args:
        target: The stage, such as train@r01; empty for everything.
        upstream: Also what the stage depends on; off runs the one stage alone.
        force: Run stages even where DVC finds them unchanged.
        overrides: Changes of params.yaml in the form of `dvc exp run -S`, such as
            train.batch=32. They are written to params.yaml and stay.
        jobs: Stages at the same time. On GPUs each has one for itself in any case.
        workers: Run the stages on the workers of the pool instead of in this process.
    """
    root = Path.cwd()
    own = str(flow_run.id)
    flow_runs = {UUID(own)}
    try:
        with lock.hold(root, own) as held:
            if held.previous and held.previous.flow_run != own:
                # A run that was killed stays Running on the server until someone closes it: now.
                gone = "Its process was gone when the next run started."
                await server.close(held.previous.flow_run, gone)
            if jobs < 1:
                raise ValueError(f"jobs = {jobs}: must be at least 1")
            graph.override(root, overrides or [])
            known = graph.read(root)
            stages = graph.select(known, target, upstream)
            if workers and not await remote.deployed():
                raise ValueError("workers = true: needs the deployments; see docs/prefect.md")
            async with interrupt.watch(flow_runs) as stop:
                place = Place(root, stop, held.descriptor)
                changed = await _changed(place)
                pool = remote.Pool(place, own, known) if workers else None
                schedule = Schedule(
                    stages=stages,
                    changed=set() if force else changed,
                    place=place,
                    force=force,
                    jobs=asyncio.Semaphore(len(stages) if workers else jobs),
                    flow_runs=flow_runs,
                    overall=overall.of(stages, stages if force else changed, root),
                    elsewhere=pool.reproduce if pool else None,
                    devices=devices.visible(),
                )
                state = await schedule.run()
                if pool:
                    await pool.settle()
                return state
    except ValueError as error:  # the user's: one line, no traceback
        get_run_logger().error(str(error))
        return Failed(message=str(error))


async def _changed(place: Place) -> set[str]:
    """Return what DVC finds changed, after the manifests are those of the code as it is."""
    changed = graph.changed(place.root)
    if graph.CODE in changed:
        await stage.dvc(place, "repro", "--single-item", graph.CODE)
        changed = graph.changed(place.root)
    return changed


async def _run(options: argparse.Namespace) -> State:
    ended = workflow(
        target=options.target,
        upstream=not options.single_item,
        force=options.force,
        overrides=options.overrides,
        jobs=options.jobs,
        workers=options.workers,
        return_state=True,
    )
    return await cast("Awaitable[State]", ended)  # Prefect's types promise the state itself


def main(arguments: list[str] | None = None) -> int:
    """Run the workflow from a terminal; exit status 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.flow", description=__doc__)
    parser.add_argument("target", nargs="?", default="", help="stage; default: everything")
    parser.add_argument("-s", "--single-item", action="store_true", help="without its upstream")
    parser.add_argument("-f", "--force", action="store_true", help="run what is unchanged too")
    parser.add_argument(
        *("-S", "--set-param"), action="append", default=[], metavar="KEY=VALUE", dest="overrides"
    )
    parser.add_argument("-j", "--jobs", type=int, default=2, help="stages at the same time")
    parser.add_argument("--workers", action="store_true", help="run stages on the pool's workers")
    options = parser.parse_args(arguments)
    with server.reach() as address:
        if address is None:
            print("No Prefect server answers; this run brings its own. See docs/prefect.md.")  # noqa: T201
        state = asyncio.run(_run(options))
    if state.is_completed():
        return 0
    print(f"error: {state.message}", file=sys.stderr)  # noqa: T201
    return 130 if state.is_cancelled() else 1


if __name__ == "__main__":
    sys.exit(main())
