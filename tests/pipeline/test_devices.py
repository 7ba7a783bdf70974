"""One GPU stage per GPU on this machine."""

import asyncio
from pathlib import Path

import pytest

from pipeline import devices


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.mark.parametrize(
    ("named", "found"), [("", ()), ("-1", ()), ("0", ("0",)), ("2, 3", ("2", "3"))]
)
def test_the_users_choice_of_gpus_counts(
    named: str, found: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert devices.visible() == found


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", "")
    assert devices.visible() == ()


@pytest.mark.parametrize("gpus", [("0",), ("0", "1")])
def test_never_two_stages_on_a_gpu(gpus: tuple[str, ...]):
    in_use: list[str | None] = []
    most = 0

    async def stage(stop: asyncio.Event) -> None:
        nonlocal most
        async with devices.hold(gpus, stop) as device:
            assert device in gpus
            assert device not in in_use
            in_use.append(device)
            most = max(most, len(in_use))
            await asyncio.sleep(0.02)
            in_use.remove(device)

    async def stages() -> None:
        stop = asyncio.Event()
        await asyncio.gather(*(stage(stop) for _ in range(4)))

    asyncio.run(stages())
    assert most == len(gpus)


def test_a_stop_ends_the_wait():
    async def wait() -> str | None:
        stop = asyncio.Event()
        async with devices.hold(("0",), stop):
            stop.set()
            async with devices.hold(("0",), stop) as second:
                return second

    assert asyncio.run(wait()) is None


def test_without_a_gpu_nothing_is_waited_for():
    async def both() -> None:
        stop = asyncio.Event()
        async with devices.hold((), stop) as first, devices.hold((), stop) as second:
            assert first is second is None

    asyncio.run(both())
