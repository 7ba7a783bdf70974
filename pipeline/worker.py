"""A machine that runs single stages for the pool: `python -m pipeline.worker`, one per GPU.

The clone that it is started in belongs to the pipeline: `params.yaml`, `dvc.lock` and everything
below `data/` are overwritten by the runs that it takes part in.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.artifacts import acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectAlreadyExists
from prefect.runtime import flow_run
from prefect.states import Completed, Crashed, Failed

from pipeline import devices, exchange, graph, interrupt, lock, server
from pipeline import stage as stages_
from pipeline.exchange import Order
from pipeline.schedule import as_state, listener
from pipeline.stage import End, Place

POOL = "lirf"


@flow(name="stage")
async def stage(order: dict[str, Any]) -> State:
    """Reproduce one stage for a run of the workflow. The workflow starts it, not a person.

    Args:
        order: What the clone that the run was started in says; see `pipeline.exchange`.
    """
    root, told = Path.cwd(), Order(**order)
    own = str(flow_run.id)
    at_home = told.home == exchange.clone(root)
    try:
        with _hold(root, told, at_home, own) as descriptor:
            if not at_home:
                exchange.check(root, told)
                exchange.unpack(root, told.files, told.gone)
            if not told.name:
                return Completed(message="This clone's dvc.lock is that of the run.")
            async with interrupt.watch({UUID(own)}) as stop:
                place = Place(root, stop, descriptor)
                if told.inputs and not at_home:
                    await stages_.dvc(place, "pull", "--force", *told.inputs)
                return await _reproduce(told, place)
    except ValueError as error:
        get_run_logger().error(str(error))
        return Failed(message=str(error))


@contextlib.contextmanager
def _hold(root: Path, told: Order, at_home: bool, flow_run: str) -> Iterator[int | None]:
    """Hold this clone, unless it is the one whose run orders: that holds it already."""
    if not at_home:
        with lock.hold(root, flow_run) as held:
            yield held.descriptor
        return
    owner = lock.owner(root)
    if owner is None or owner.flow_run != told.run:
        raise ValueError(f"flow run {told.run} no longer holds this folder; start it again")
    yield None


async def _reproduce(told: Order, place: Place) -> State:
    known = graph.read(place.root)[told.name]
    gpus = devices.visible() if known.resource == "gpu" else ()
    async with devices.hold(gpus, place.stop) as device:
        place = replace(place, device=device)
        outcome = await stages_.reproduce(told.name, place, listener(told.name), told.force)
    if outcome.end is End.STOPPED and interrupt.orphaned():
        return Crashed(message="The worker of this run is gone.")
    if outcome.end in (End.STOPPED, End.FAILED):
        return as_state(outcome)
    await stages_.dvc(place, "push", told.name)
    answer = {
        "stage": told.name,
        "clone": exchange.clone(place.root),
        "end": outcome.end.name,
        "entry": exchange.entry(place.root, told.name),
        "files": json.dumps({path: exchange.pack(place.root / path) for path in known.loose}),
    }
    await acreate_table_artifact([answer], description=f"What DVC recorded of {told.name}")
    return as_state(outcome)


async def _prepare(pool: str, queues: list[str]) -> None:
    """Make the pool and the queues where they are missing: a worker is deaf to all otherwise."""
    async with get_client() as client:
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        for queue in queues:
            with contextlib.suppress(ObjectAlreadyExists):
                await client.create_work_queue(name=queue, work_pool_name=pool)


def main(arguments: list[str] | None = None) -> None:
    """Become a Prefect worker that takes one stage at a time."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.worker", description=__doc__)
    parser.add_argument("--pool", default=POOL)
    parser.add_argument(
        *("-q", "--work-queue"), action="append", choices=["gpu", "cpu"], help="default: both"
    )
    options = parser.parse_args(arguments)
    name = exchange.clone(Path.cwd())
    queues = [*(options.work_queue or ["gpu", "cpu"]), name]  # its own, to be settled by
    with server.reach() as address:
        if address is None:
            sys.exit("error: no Prefect server answers; start one, or set PREFECT_API_URL")
        asyncio.run(_prepare(options.pool, queues))
    os.environ |= {"PREFECT_API_URL": address}
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", "2")
    command = ["prefect", "worker", "start", "--type=process", f"--pool={options.pool}"]
    command += [f"--name={name}-{os.getpid()}", "--limit=1"]
    command += [f"--work-queue={queue}" for queue in queues]
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606


if __name__ == "__main__":
    main()
