"""The Prefect server that a run reports to: the one that answers, else one of the run's own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from urllib.error import URLError
from urllib.request import urlopen
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from prefect.states import Crashed

DEFAULT = "http://127.0.0.1:4200/api"
"""Where `prefect server start` listens unless told otherwise."""


@contextlib.contextmanager
def reach() -> Iterator[str | None]:
    """Set the server for what runs inside and yield its address; None: one of the run's own.

    A set address that does not answer would fail the run at its first report, so it is asked
    first. The run's own server stores to the same database, but its UI ends with the run.
    """
    named = get_current_settings().api.url
    address = named or DEFAULT
    if answers(address):
        with temporary_settings({PREFECT_API_URL: address}):
            yield address
    else:
        with temporary_settings(restore_defaults={PREFECT_API_URL}):
            yield None


def answers(address: str) -> bool:
    """Return whether a Prefect server answers at `address`."""
    try:
        with urlopen(f"{address}/health", timeout=3) as answer:  # noqa: S310
            return json.load(answer) is True
    except (URLError, OSError, ValueError):
        return False


async def close(flow_run: str, reason: str) -> None:
    """Mark a flow run whose process is gone, and all inside it, as crashed."""
    async with get_client() as client:
        with contextlib.suppress(ObjectNotFound, ValueError):
            await _close(client, UUID(flow_run), reason)


async def _close(client: PrefectClient, flow_run: UUID, reason: str) -> None:
    state = (await client.read_flow_run(flow_run)).state
    if state is None or state.is_final():
        return
    within = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run]))
    for child in await client.read_flow_runs(flow_run_filter=within):
        await _close(client, child.id, reason)
    tasks = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[flow_run]))
    for task in await client.read_task_runs(task_run_filter=tasks):
        if task.state is not None and not task.state.is_final():
            await client.set_task_run_state(task.id, Crashed(message=reason), force=True)
    await client.set_flow_run_state(flow_run, Crashed(message=reason), force=True)
