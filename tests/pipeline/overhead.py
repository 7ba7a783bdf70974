"""What the flow adds to a stage: `python tests/pipeline/overhead.py [REPEATS]`.

Method. A toy DVC repository, a real Prefect server of its own on loopback (SQLite in a temporary
folder). One stage whose command only writes a few files is forced to run,
  plain:  `dvc repro --single-item --force STAGE`, wall time of the process;
  flow:   the task of the same stage in the flow, `start_time` to `end_time` of the task run as
          the server records them: what lies between two stages of a round.
The two take turns, so that other load on the machine meets both; the median of each is reported
and their difference is the added cost per stage. Apart from it, once a run: the whole
`python -m pipeline.flow` of that stage minus its task (Python's and Prefect's start, DVC's index,
opening the round's subflow), and the same for a run in which everything is cached.
"""
# ruff: noqa: T201

import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from toy import (
    answers,
    ask,
    command,
    end,
    environment,
    free_port,
    last_run,
    make_toy,
    run_flow,
    toy_dvc,
    wait_for,
    within,
)

STAGE = "merge@r01"


def seconds(run: dict[str, str]) -> float:
    began, ended = (datetime.fromisoformat(run[key]) for key in ("start_time", "end_time"))
    return (ended - began).total_seconds()


def task_seconds(env: dict[str, str]) -> float:
    """Return how long the stage's task of the last run took."""
    round_ = within(env, last_run(env, STAGE))["r01"]
    body = {"task_runs": {"flow_run_id": {"any_": [round_["id"]]}}}

    def ended() -> list[dict[str, str]]:
        return [one for one in ask(env, "task_runs/filter", body) if one["end_time"]]

    wait_for(ended, 20, "the record of the task")
    return seconds(ended()[0])


def timed(function, *arguments: object) -> float:
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def main(repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder), free_port()
        env = environment(home)
        toy = make_toy(home / "toy", env)
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            env["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
            wait_for(lambda: answers(env["PREFECT_API_URL"] + "/health"), 90, "the server")
            toy_dvc(toy, env, "repro", STAGE)
            plain, task, whole, cached = [], [], [], []
            force = ["repro", "--single-item", "--force", STAGE]
            for _ in range(repeats):
                plain.append(timed(toy_dvc, toy, env, *force))
                whole.append(timed(run_flow, toy, env, STAGE, "--single-item", "--force"))
                task.append(task_seconds(env))
                cached.append(timed(run_flow, toy, env, STAGE))
            start = timed(command, [sys.executable, "-c", "import pipeline.flow"], toy, env)
        finally:
            end(server)
    median = statistics.median
    print(f"dvc repro of a stage            {median(plain):6.2f} s  (n = {repeats})")
    print(f"its task in the flow            {median(task):6.2f} s")
    print(f"added per stage                 {median(task) - median(plain):6.2f} s")
    print(f"once a run, beside its stages   {median(whole) - median(task):6.2f} s")
    print(f"  of that importing the flow    {start:6.2f} s")
    print(f"a whole run, 3 stages cached    {median(cached):6.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
