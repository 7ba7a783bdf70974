"""A tiny real DVC repository with the project's stage names and paths; processes around it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]

WORK = '''
"""A stage that costs nothing: reads files, reports progress, writes what the real one writes."""

import hashlib, json, os, struct, sys, time, zlib
from pathlib import Path
from typing import Any

from stages.telling.progress import track

name, *arguments = sys.argv[1:]
reads = [Path(a[1:]) for a in arguments if a[0] == "<"]
writes = [Path(a[1:]) for a in arguments if a[0] == ">"]
slow = float(os.environ.get("TOY_S", "0"))
print(f"{name} begins", flush=True)
Path(os.environ.get("TOY_PIDS", os.devnull)).open("a").write(f"{name} {os.getpid()}\\n")
if name == os.environ.get("TOY_FAIL"):
    print("error: toy.steps = 0: must be at least 1", file=sys.stderr)
    sys.exit(1)
if name.split("@")[0] in ("train", "sample"):
    for _ in track(range(100), 100, name.replace("@", " ")):
        time.sleep(slow / 100)
digest = hashlib.sha256(name.encode() + b"".join(p.read_bytes() for p in reads)).digest()
for path in writes:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        figures = {"memorised": digest[0] / 255, "recall": digest[1] / 255}
        path.write_text(json.dumps(figures) + "\\n")
    elif path.suffix == ".tsv":
        path.write_text("step\\tloss\\n1\\t2.0\\n2\\t0.5\\n")
    elif path.suffix == ".png":
        side, row = 96, b"\\0" + bytes(i * 2 ^ digest[2] for i in range(96))
        chunk = lambda kind, body: (struct.pack(">I", len(body)) + kind + body
                                    + struct.pack(">I", zlib.crc32(kind + body)))
        path.write_bytes(b"\\x89PNG\\r\\n\\x1a\\n"
            + chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(row * side)) + chunk(b"IEND", b""))
    else:
        path.write_bytes(digest * 4000)
'''

GRAPH = """
stages:
  encode:
    cmd: python work.py encode '>data/r00/bank'
    deps: [work.py]
    params: [encode]
    outs: [data/r00/bank]
  train:
    foreach: ${models}
    do:
      meta: {resource: gpu, round: '${key}', role: '${item.role}'}
      cmd: >-
        python work.py train@${key} '<data/${item.after}/bank'
        '>data/${key}/weights' '>data/plots/${key}/loss.tsv'
      params: [train, 'models.${key}.steps']
      deps: [work.py, 'data/${item.after}/bank']
      outs: ['data/${key}/weights']
      plots: ['data/plots/${key}/loss.tsv']
  merge:
    foreach: ${rounds}
    do:
      meta: {resource: cpu, round: '${key}'}
      cmd: >-
        python work.py merge@${key} '<data/${key}/weights' '>data/${key}/bank'
        '>data/metrics/admission/${key}.json'
      deps: [work.py, 'data/${key}/weights']
      outs: ['data/${key}/bank']
      metrics: ['data/metrics/admission/${key}.json': {cache: false}]
  evaluate:
    foreach: ${models}
    do:
      meta: {resource: gpu, round: '${key}', role: '${item.role}'}
      cmd: >-
        python work.py evaluate@${key} '<data/${key}/weights'
        '>data/metrics/${key}.json' '>data/plots/${key}/grid.png' '>data/plots/${key}/nearest.png'
      params: [evaluate]
      deps: [work.py, 'data/${key}/weights']
      metrics: ['data/metrics/${key}.json': {cache: false}]
      plots: ['data/plots/${key}/grid.png', 'data/plots/${key}/nearest.png']
  report:
    cmd: >-
      python work.py report '<data/metrics/baseline.json' '<data/metrics/final.json'
      '>data/report/table.md'
    deps: [work.py, data/metrics/baseline.json, data/metrics/final.json]
    outs: [data/report/table.md]
"""


def environment(home: Path) -> dict[str, str]:
    """Return the environment of every process that a test starts: its own PREFECT_HOME."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
    return inherited | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc"),
        "CUDA_VISIBLE_DEVICES": "",
    }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (URLError, OSError):
        return False


def end(process: subprocess.Popen, number: signal.Signals = signal.SIGTERM) -> None:
    """End a process that a test started, and its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def make_toy(folder: Path, env: dict[str, str], rounds: tuple[str, ...] = ("r01",)) -> Path:
    """Make a DVC repository of the toy stages, committed to git."""
    folder.mkdir(parents=True)
    (folder / "work.py").write_text(WORK)
    (folder / "dvc.yaml").write_text(GRAPH)
    shutil.copy(ROOT / "params.yaml", folder)
    document = YAML(typ="safe").load(folder / "params.yaml")
    previous, document["rounds"], document["models"] = "r00", {}, {}
    for name in rounds:
        document["rounds"][name] = {"after": previous, "lambda": 0.5}
        document["models"][name] = {"role": "loop", "after": previous, "steps": 1, "cooldown": 0}
        previous = name
    line = {"role": "loop", "after": previous, "steps": 1, "cooldown": 0}
    document["models"]["final"] = line
    line = {"role": "baseline", "after": "r00", "steps": len(rounds) + 1, "cooldown": 0}
    document["models"]["baseline"] = line
    YAML().dump(document, folder / "params.yaml")
    (folder / ".gitignore").write_text("/data\n")
    command(["git", "init", "--quiet"], folder, env)
    command([sys.executable, "-m", "dvc", "init", "--quiet"], folder, env)
    commit(folder, env)
    return folder


def commit(folder: Path, env: dict[str, str]) -> None:
    command(["git", "add", "--all"], folder, env)
    identity = ["-c", "user.name=toy", "-c", "user.email=toy@example.org"]
    command(["git", *identity, "commit", "--quiet", "-m", "toy"], folder, env)


def command(
    arguments: list[str], folder: Path, env: dict[str, str], check: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        arguments, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def run_flow(
    folder: Path, env: dict[str, str], *options: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    return command([sys.executable, "-m", "pipeline.flow", *options], folder, env, check)


def toy_dvc(folder: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return command([sys.executable, "-m", "dvc", *arguments], folder, env)


def ask(env: dict[str, str], path: str, body: dict[str, Any] | None = None) -> Any:
    """Return the server's answer to a question of its API."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(
        f"{env['PREFECT_API_URL']}/{path}", data, {"content-type": "application/json"}
    )
    with urlopen(request, timeout=20) as answer:
        return json.load(answer)


def last_run(env: dict[str, str], name: str) -> dict[str, Any]:
    runs = ask(
        env,
        "flow_runs/filter",
        {"sort": "START_TIME_DESC", "limit": 1, "flow_runs": {"name": {"any_": [name]}}},
    )
    return runs[0]


def within(env: dict[str, str], run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the subflows of a run by their names."""
    found = ask(
        env, "flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [run["id"]]}}}
    )
    return {one["name"]: one for one in found}


def tasks(env: dict[str, str], run: dict[str, Any]) -> dict[str, str]:
    """Return the names of the states in which the stages of a run are, once all are recorded."""

    def read() -> dict[str, str]:
        found = ask(env, "task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run["id"]]}}})
        return {one["name"]: one["state_name"] for one in found if "@" in one["name"]}

    # The server records what happened to tasks a moment after it is told.
    wait_for(lambda: set(read().values()).isdisjoint({"Running", "Pending"}), 20, "the record")
    return read()
