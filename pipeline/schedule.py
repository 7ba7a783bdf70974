"""Run the selected stages in DVC's order: a task per stage, a subflow per round, side by side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import cast
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from pipeline import artifacts, devices
from pipeline import stage as stages_
from pipeline.graph import Stage
from pipeline.overall import Overall
from pipeline.stage import End, Outcome, Place, Progress

Elsewhere = Callable[[Stage, bool], Awaitable[Outcome]]
"""Reproduces a stage on a worker of the pool."""


@dataclass
class Schedule:
    """One pass over `stages`. A stage starts once all that it needs has ended well."""

    stages: dict[str, Stage]
    changed: set[str]  # what DVC found changed before the first stage ran
    place: Place
    force: bool
    jobs: asyncio.Semaphore
    flow_runs: set[UUID]  # the running subflows too: a cancel of one is seen
    overall: Overall
    elsewhere: Elsewhere | None = None
    devices: tuple[str, ...] = ()
    _ends: dict[str, asyncio.Future[State | None]] = field(default_factory=dict)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _touched: set[str] = field(default_factory=set)  # stages that did not end unchanged
    _bar: artifacts.ProgressBar = field(default_factory=artifacts.ProgressBar)

    async def run(self) -> State:
        """Run everything and return one state for the whole."""
        loop = asyncio.get_running_loop()
        self._ends = {name: loop.create_future() for name in self.stages}
        rounds: dict[str, list[Stage]] = {}
        for stage in self.stages.values():
            rounds.setdefault(stage.round, []).append(stage)
        home = rounds.pop("", [])
        await self._bar.show(self.overall.percent, self.overall.done)
        await asyncio.gather(
            *(self._stage(stage) for stage in home),
            *(self._round(name, members) for name, members in rounds.items()),
        )
        await self._bar.show(self.overall.percent, self.overall.done)
        if "" not in rounds:
            await artifacts.show_comparison(self.stages.values(), self.place.root)
        return self._sum(self.stages)

    async def _round(self, name: str, members: list[Stage]) -> None:
        """Open the subflow `name` once its first stage can start; run its stages inside."""
        if not await _any(self._ready(stage) for stage in members):
            for stage in members:
                self._ends[stage.name].set_result(None)
            return

        async def body() -> State:
            self._opening.release()
            own = UUID(str(flow_run.id))
            self.flow_runs.add(own)
            await asyncio.gather(*(self._stage(stage) for stage in members))
            await artifacts.show_round(name, members, self.place.root)
            self.flow_runs.discard(own)
            return self._sum(stage.name for stage in members)

        opened = flow(name="round", flow_run_name=name, validate_parameters=False)(body)
        # One at a time: requests that write at once make the server's SQLite refuse one, and
        # Prefect's client then waits for two seconds and more.
        await self._opening.acquire()
        try:
            await cast("Awaitable[State]", opened(return_state=True))
        finally:
            for stage in members:  # a subflow that never began must not be waited for
                if not self._ends[stage.name].done():
                    self._ends[stage.name].set_result(None)

    async def _ready(self, stage: Stage) -> bool:
        """Wait for all that `stage` needs; return whether it may start."""
        ends = [await asyncio.shield(self._ends[need]) for need in self._needs(stage)]
        return all(end is not None and end.is_completed() for end in ends)

    def _needs(self, stage: Stage) -> list[str]:
        return sorted(stage.needs & self.stages.keys())

    async def _stage(self, stage: Stage) -> None:
        """Run one stage as a task, or note that it could not start."""
        end: State | None = None
        try:
            if await self._ready(stage):
                async with self.jobs, self._device(stage) as device:
                    if not self.place.stop.is_set():
                        end = await self._task(stage, device)
        finally:
            self._ends[stage.name].set_result(end)

    @contextlib.asynccontextmanager
    async def _device(self, stage: Stage):
        """Hold a GPU for a stage that needs one and may run."""
        if stage.resource == "gpu" and self.elsewhere is None and self._may_run(stage):
            async with devices.hold(self.devices, self.place.stop) as device:
                yield device
        else:
            yield None

    async def _task(self, stage: Stage, device: str | None) -> State:
        async def body() -> State:
            outcome = await self._reproduce(stage, device)
            if outcome.end not in (End.FAILED, End.STOPPED):
                self.overall.end(stage.name)
                if outcome.end is not End.UNCHANGED:
                    self._touched.add(stage.name)
            return as_state(outcome)

        # Already ended: nothing is waited for, the UI only draws the edges.
        ends = [end for need in self._needs(stage) if (end := self._ends[need].result())]
        named = task(
            name=stage.name,
            task_run_name=stage.name,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(body)
        # Prefect's types promise the state itself.
        return await cast("Awaitable[State]", named(return_state=True, wait_for=ends))

    async def _reproduce(self, stage: Stage, device: str | None) -> Outcome:
        if not self._may_run(stage):
            return Outcome(End.UNCHANGED)
        where = self.overall.line(stage.name)
        get_run_logger().info(where)
        await self._bar.show(self.overall.percent, where)
        if self.elsewhere is not None and stage.resource:
            try:
                return await self.elsewhere(stage, self.force)
            except ValueError as error:  # the remote's: no address, no rights, a missing file
                return Outcome(End.FAILED, str(error))
        place = replace(self.place, device=device)
        listen = listener(stage.name, self.overall, self._bar)
        return await stages_.reproduce(stage.name, place, listen, self.force)

    def _may_run(self, stage: Stage) -> bool:
        """Return whether DVC must be asked: it, or something above it, is not as it was."""
        return self.force or stage.name in self.changed or not self._touched.isdisjoint(stage.needs)

    def _sum(self, names: Iterable[str]) -> State:
        """Return one state for several stages; a failure speaks in the stage's own words."""
        ends = {name: self._ends[name].result() for name in names}
        failed = [f"{name}: {end.message}" for name, end in ends.items() if end and end.is_failed()]
        if failed:
            return Failed(message="\n".join(failed))
        if self.place.stop.is_set():
            return Cancelled(message="Cancelled; the next run continues from here.")
        crashed = [name for name, end in ends.items() if end and not end.is_completed()]
        if crashed:
            return Failed(message=f"{', '.join(crashed)} crashed")
        missing = [name for name, end in ends.items() if end is None]
        if missing:
            return Failed(message=f"Could not start: {', '.join(missing)}")
        cached = [name for name, end in ends.items() if end and end.name == "Cached"]
        if len(cached) == len(ends):
            return Completed(name="Cached", message="Everything is up to date.")
        return Completed(message=f"{len(ends) - len(cached)} stages ran, {len(cached)} cached.")


def listener(
    stage: str, overall: Overall | None = None, whole: artifacts.ProgressBar | None = None
) -> stages_.Listener:
    """Return what a stage's task does with a line: log it, or move the progress bars.

    That of the run moves where `overall` knows of it, and is `whole`.
    """
    logger, bar = get_run_logger(), artifacts.ProgressBar(stage)

    async def listen(line: str | Progress) -> None:
        if isinstance(line, str):
            logger.info(line)
            return
        where = overall.line(stage, line) if overall else line.label
        await bar.show(100.0 * line.done / max(line.total, 1), where, line.label)
        if overall and whole:
            await whole.show(overall.percent, where)

    return listen


def as_state(outcome: Outcome) -> State:
    """Return the state in which a stage's task ends."""
    match outcome.end:
        case End.RAN:
            return Completed()
        case End.UNCHANGED | End.RESTORED:
            return Completed(name="Cached", message=outcome.end.value)
        case End.STOPPED:
            return Cancelled(message="Cancelled; the next run continues from here.")
        case End.FAILED:
            return Failed(message=outcome.last)


async def _any(ready: Iterable[Awaitable[bool]]) -> bool:
    """Return as soon as one is true; false once all are false."""
    tasks = [asyncio.ensure_future(one) for one in ready]
    try:
        for done in asyncio.as_completed(tasks):
            if await done:
                return True
    finally:
        for one in tasks:
            one.cancel()
    return False
