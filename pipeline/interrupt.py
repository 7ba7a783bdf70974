"""Everything that ends a run early becomes one event: Ctrl-C, a cancel in the UI, a dead worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

POLL_S = 2.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_PARENT = os.getppid()


@contextlib.asynccontextmanager
async def watch(flow_runs: set[UUID]) -> AsyncIterator[asyncio.Event]:
    """Yield an event that is set once the run must end. `flow_runs` may grow meanwhile.

    Prefect only asks a called flow to cancel, by its state, so the state is polled. A flow of
    a worker also ends with its worker: the process that started it is then another.
    """
    stop = asyncio.Event()
    watcher = asyncio.create_task(_poll(stop, flow_runs))
    try:
        with signals(stop):
            yield stop
    finally:
        watcher.cancel()


@contextlib.contextmanager
def signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on Ctrl-C and on SIGTERM, which only the main thread can be told of."""
    loop = asyncio.get_running_loop()
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS if main}
    for number in before:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def orphaned() -> bool:
    """Return whether this is a worker's process and its worker is gone."""
    return "PREFECT__FLOW_RUN_ID" in os.environ and os.getppid() != _PARENT


async def _poll(stop: asyncio.Event, flow_runs: set[UUID]) -> None:
    async with get_client() as client:
        while not stop.is_set():
            await asyncio.sleep(POLL_S)
            if orphaned():
                stop.set()
            for flow_run in tuple(flow_runs):
                # A server that is away for a while must not end the training.
                with contextlib.suppress(httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound):
                    state = (await client.read_flow_run(flow_run)).state
                    # Final while it still runs here: someone else has closed it.
                    if state is not None and (state.is_cancelling() or state.is_final()):
                        stop.set()
