"""Stages on any worker: two clones, two workers, and a DVC remote that is a real WebDAV server."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy import (
    ROOT,
    answers,
    ask,
    command,
    commit,
    end,
    free_port,
    last_run,
    make_toy,
    run_flow,
    toy_dvc,
    wait_for,
    within,
)

from pipeline.lock import owner

pytestmark = pytest.mark.remote

GRAPH = """
stages:
  encode:
    cmd: python work.py encode '>data/r00/bank'
    deps: [work.py]
    outs: [data/r00/bank]
  train:
    foreach: [r01, baseline]
    do:
      meta: {resource: gpu, round: '${item}'}
      cmd: >-
        python work.py train@${item} '<data/r00/bank' '>data/${item}/weights'
        '>data/metrics/${item}.json'
      deps: [work.py, data/r00/bank]
      outs: ['data/${item}/weights']
      metrics: ['data/metrics/${item}.json': {cache: false}]
  report:
    meta: {resource: cpu}
    cmd: >-
      python work.py report '<data/r01/weights' '<data/metrics/r01.json'
      '<data/metrics/baseline.json' '>data/report/table.md'
    deps: [work.py, data/r01/weights, data/metrics/r01.json, data/metrics/baseline.json]
    outs: [data/report/table.md]
"""


@contextlib.contextmanager
def process(
    arguments: list[str], folder: Path, env: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in a session of its own and end it, and all below it, afterwards."""
    with log.open("wb") as file:
        started = subprocess.Popen(
            arguments,
            cwd=folder,
            env=env,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        end(started)


@pytest.fixture
def clones(tmp_path: Path, env: dict[str, str]) -> Iterator[tuple[Path, Path]]:
    """Return two clones of one commit whose DVC remote is a WebDAV server on loopback."""
    port = free_port()
    (tmp_path / "dav" / "store").mkdir(parents=True)
    first = make_toy(tmp_path / "first", env)
    (first / "dvc.yaml").write_text(GRAPH)
    toy_dvc(first, env, "remote", "add", "-d", "storage", f"webdav://127.0.0.1:{port}/store")
    commit(first, env)
    command(["git", "clone", "--quiet", str(first), str(tmp_path / "second")], tmp_path, env)
    server = [sys.executable, "-m", "wsgidav.server.server_cli", "--auth=anonymous"]
    server += ["--host=127.0.0.1", f"--port={port}", f"--root={tmp_path / 'dav'}"]
    with process(server, tmp_path, env, tmp_path / "dav.log"):
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/store"), 30, "the WebDAV server")
        yield first, tmp_path / "second"


@pytest.fixture(scope="module")
def deployed(env: dict[str, str]) -> None:
    """Deploy both flows into a pool, as docs/prefect.md says."""
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    command([*prefect, "work-pool", "create", "lirf", "--type", "process"], ROOT, env)
    deploy = ["deploy", "--all", "--prefect-file", "pipeline/prefect.yaml"]
    command([*prefect, *deploy], ROOT, env)


@pytest.mark.usefixtures("deployed")
def test_two_clones_share_a_run_and_end_with_one_lock(
    clones: tuple[Path, Path], env: dict[str, str], tmp_path: Path
):
    first, second = clones
    worker = [sys.executable, "-m", "pipeline.worker"]

    def own(name: str) -> dict[str, str]:
        return env | {"TOY_S": "3", "TOY_PIDS": str(tmp_path / f"{name}.pids")}

    with (
        process(worker, first, own("first"), tmp_path / "first.log"),
        process(worker, second, own("second"), tmp_path / "second.log"),
    ):
        run_flow(first, env | {"TOY_PIDS": str(tmp_path / "home.pids")}, "report", "--workers")

    def ran(name: str) -> set[str]:
        pids = tmp_path / f"{name}.pids"
        return (
            {line.split()[0] for line in pids.read_text().splitlines()} if pids.exists() else set()
        )

    assert ran("home") == {"encode"}
    trained = {"train@r01", "train@baseline"}
    assert len(ran("first") & trained) == len(ran("second") & trained) == 1
    assert ran("first") | ran("second") == {*trained, "report"}
    assert (first / "dvc.lock").read_bytes() == (second / "dvc.lock").read_bytes()
    for clone in clones:  # nothing to do in either: what it has is what the lock says
        toy_dvc(clone, env, "pull")
        assert "up to date" in toy_dvc(clone, env, "status").stdout
        assert "Running stage" not in toy_dvc(clone, env, "repro").stdout


@pytest.mark.usefixtures("deployed")
def test_a_killed_worker_leaves_no_process_and_no_lock(
    clones: tuple[Path, Path], env: dict[str, str], tmp_path: Path
):
    first, _ = clones
    pids = tmp_path / "pids"
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "lirf"]
    slow = env | {"TOY_S": "90", "TOY_PIDS": str(pids)}
    prefect = [sys.executable, "-m", "prefect", "deployment", "run", "lirf/rounds"]
    with process([*worker, "-q", "default"], first, slow, tmp_path / "worker.log") as killed:
        command([*prefect, "--param", "target=train@r01"], first, env)
        wait_for(lambda: pids.exists() and "train@r01" in pids.read_text(), 90, "the training")
        stage = int(pids.read_text().split()[-1])
        os.kill(killed.pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{stage}").exists(), 30, "the end of the stage")
    holder = owner(first)
    assert holder is not None
    wait_for(lambda: not Path(f"/proc/{holder.pid}").exists(), 30, "the end of the run")
    run_flow(first, env, "train@r01")
    run = last_run(env, "train@r01")
    assert run["state_name"] == "Completed"
    assert set(within(env, run)) == {"r01"}
    left = ask(env, "flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}})
    assert left == []
