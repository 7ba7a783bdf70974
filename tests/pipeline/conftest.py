"""A real Prefect server for the tests that need one, with a PREFECT_HOME of its own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `toy`: importlib mode adds no folder

from toy import answers, end, environment, free_port, last_run, make_toy, run_flow, wait_for


@pytest.fixture(scope="session")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the environment with a running Prefect server in it."""
    home = tmp_path_factory.mktemp("home")
    own = environment(home)
    port = free_port()
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            cwd=home,
            env=own | {"PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        api = f"http://127.0.0.1:{port}/api"
        wait_for(lambda: answers(f"{api}/health"), 90, "the server's start")
        yield own | {"PREFECT_API_URL": api}
    finally:
        end(server)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Path:
    return make_toy(tmp_path_factory.mktemp("flow") / "toy", env)


@pytest.fixture(scope="session")
def finished(toy: Path, env: dict[str, str]) -> dict[str, Any]:
    """Return a whole run that ended well."""
    run_flow(toy, env | {"TOY_S": "2.5"})
    return last_run(env, "everything")
