"""Which server a run reports to."""

import pytest
from prefect.settings import get_current_settings
from toy import free_port

from pipeline import server


@pytest.fixture(autouse=True)
def _own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DEFAULT", f"http://127.0.0.1:{free_port()}/api")


def test_a_server_that_answers_is_used(env: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "DEFAULT", env["PREFECT_API_URL"])
    with server.reach() as address:
        assert address == env["PREFECT_API_URL"]
        assert get_current_settings().api.url == address


def test_an_address_that_is_dead_is_not(monkeypatch: pytest.MonkeyPatch):
    dead = f"http://127.0.0.1:{free_port()}/api"
    with server.temporary_settings({server.PREFECT_API_URL: dead}), server.reach() as address:
        assert address is None
        assert get_current_settings().api.url is None


def test_without_an_address_a_run_brings_its_own_server():
    with server.reach() as address:
        assert address is None
