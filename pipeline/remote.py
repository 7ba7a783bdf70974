"""Run stages on the workers of the pool, from the clone that the run was started in."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
)
from prefect.client.schemas.objects import State
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from pipeline import exchange
from pipeline import stage as stages_
from pipeline.graph import Stage
from pipeline.stage import End, Outcome, Place

DEPLOYMENT = "stage/stage"
POLL_S = 1.0
ATTEMPTS = 3  # a worker that is lost in the middle of a stage costs one


@dataclass
class Pool:
    """The workers of the pool, as one run uses them."""

    place: Place
    run: str  # the id of this flow run
    stages: dict[str, Stage]  # the whole graph
    _pushed: set[str] = field(default_factory=set)  # stages whose outputs the remote has
    _clones: set[str] = field(default_factory=set)  # those that took part
    _accepting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def reproduce(self, stage: Stage, force: bool) -> Outcome:
        """Have `stage` reproduced by whichever worker is free, and take what it made."""
        async with self._accepting:
            if missing := sorted(self.stages.keys() & stage.needs - self._pushed):
                await stages_.dvc(self.place, "push", *missing)
                self._pushed.update(missing)
        order = exchange.order(self.place.root, stage, self._loose(), self.run, force)
        state, answer = await self._ask(order, stage.name, stage.resource)
        for _ in range(ATTEMPTS - 1):
            if state.is_crashed() and not self.place.stop.is_set():
                state, answer = await self._ask(order, stage.name, stage.resource)
        if self.place.stop.is_set():
            return Outcome(End.STOPPED)
        if not state.is_completed():
            return Outcome(End.FAILED, state.message or state.name or "")
        async with self._accepting:
            return await self._accept(stage.name, answer)

    async def _accept(self, name: str, answer: dict[str, Any]) -> Outcome:
        """Take a stage's lock entry and outputs into this clone."""
        root = self.place.root
        self._pushed.add(name)
        if answer["clone"] != exchange.clone(root):
            self._clones.add(answer["clone"])
            exchange.unpack(root, json.loads(answer["files"]))
            exchange.adopt(root, name, answer["entry"])
            await stages_.dvc(self.place, "pull", "--force", name)
        return Outcome(End[answer["end"]])

    async def settle(self) -> None:
        """Leave every clone that took part with this clone's lock file, parameters and metrics."""
        if self.place.stop.is_set():
            return
        order = exchange.order(self.place.root, None, self._loose(), self.run)
        await asyncio.gather(
            *(self._ask(order, f"settle {clone}", clone) for clone in sorted(self._clones))
        )

    def _loose(self) -> list[str]:
        return [path for stage in self.stages.values() for path in stage.loose]

    async def _ask(self, order: exchange.Order, name: str, queue: str) -> tuple[State, dict]:
        """Run the deployment with `order` and return its final state and its answer."""
        async with get_client() as client:
            asked = await arun_deployment(
                DEPLOYMENT,
                client=client,
                parameters={"order": asdict(order)},
                flow_run_name=name,
                work_queue_name=queue,
                timeout=0,
            )
            state = await self._wait(client, asked.id)
            return state, await _answer(client, asked.id) if state.is_completed() else {}

    async def _wait(self, client: PrefectClient, flow_run: UUID) -> State:
        """Wait for a run's end; a stop of ours is one of its."""
        asked_to_stop = False
        while True:
            state = (await client.read_flow_run(flow_run)).state
            assert state is not None
            if state.is_final():
                return state
            if self.place.stop.is_set() and not asked_to_stop:
                asked_to_stop = True
                await client.set_flow_run_state(flow_run, Cancelling(), force=True)
            await asyncio.sleep(POLL_S)


async def _answer(client: PrefectClient, flow_run: UUID) -> dict[str, Any]:
    found = await client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]),
            type=ArtifactFilterType(any_=["table"]),
        )
    )
    rows = [row for artifact in found for row in json.loads(str(artifact.data))]
    return next((row for row in rows if "entry" in row), {})


async def deployed() -> bool:
    """Return whether the server knows the deployment that workers run stages with."""
    async with get_client() as client:
        try:
            await client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            return False
        return True
