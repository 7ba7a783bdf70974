"""The flow over a real DVC repository against a real server: states, artifacts, interrupts."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from toy import ask, last_run, run_flow, tasks, toy_dvc, wait_for, within


def test_a_whole_run_is_a_subflow_per_round_and_a_task_per_stage(
    finished: dict[str, Any], env: dict[str, str], toy: Path
):
    assert finished["state_name"] == "Completed"
    rounds = within(env, finished)
    assert set(rounds) == {"r01", "final", "baseline"}
    stages = {name for run in rounds.values() for name in tasks(env, run)}
    assert stages == {
        *(f"train@{model}" for model in rounds),
        *(f"evaluate@{model}" for model in rounds),
        "merge@r01",
    }
    assert "up to date" in toy_dvc(toy, env, "status").stdout


def test_the_baseline_runs_beside_the_round(finished: dict[str, Any], env: dict[str, str]):
    rounds = within(env, finished)
    assert rounds["baseline"]["start_time"] < rounds["r01"]["end_time"]
    assert rounds["r01"]["start_time"] < rounds["baseline"]["end_time"]


def test_a_round_shows_progress_figures_and_pictures(finished: dict[str, Any], env: dict[str, str]):
    run = within(env, finished)["r01"]
    found = ask(env, "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}})
    artifacts = {one["key"]: one for one in found}
    assert set(artifacts) == {"progress-train-r01", "r01-figures", "r01-pictures"}
    assert artifacts["progress-train-r01"]["data"] == 100.0
    assert artifacts["progress-train-r01"]["updated"] > artifacts["progress-train-r01"]["created"]
    assert artifacts["r01-pictures"]["data"].count("data:image/png;base64,") == 2
    assert {row["figure"] for row in json.loads(artifacts["r01-figures"]["data"])} >= {
        "memorised",
        "loss, last: loss",
    }


def test_the_run_has_a_bar_of_its_own(finished: dict[str, Any], env: dict[str, str]):
    found = ask(env, "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [finished["id"]]}}})
    (bar,) = [one for one in found if one["key"] == "progress"]
    assert (bar["data"], bar["description"]) == (100.0, "9 of 9 stages done")


def test_the_run_compares_with_the_baseline(finished: dict[str, Any], env: dict[str, str]):
    found = ask(env, "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [finished["id"]]}}})
    (table,) = [json.loads(one["data"]) for one in found if one["key"] == "comparison"]
    assert list(table[0]) == ["figure", "r01", "final", "baseline"]


@pytest.mark.usefixtures("finished")
def test_unchanged_stages_end_cached(toy: Path, env: dict[str, str]):
    run_flow(toy, env, "merge@r01")
    run = within(env, last_run(env, "merge@r01"))["r01"]
    assert tasks(env, run) == {"train@r01": "Cached", "merge@r01": "Cached"}


@pytest.mark.usefixtures("finished")
def test_a_changed_parameter_reruns_what_depends_on_it(toy: Path, env: dict[str, str]):
    run_flow(toy, env, "merge@r01", "-S", "train.batch=33")
    run = within(env, last_run(env, "merge@r01"))["r01"]
    # The toy's training gives the same bytes whatever the batch: DVC stops there, so we do.
    assert tasks(env, run) == {"train@r01": "Completed", "merge@r01": "Cached"}
    assert "batch: 33" in (toy / "params.yaml").read_text()


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-S", "train.batch=0"], "params.yaml: train.batch = 0"),
        (["--jobs", "0"], "jobs = 0: must be at least 1"),
    ],
)
def test_a_mistake_is_refused_before_anything_runs(
    toy: Path, env: dict[str, str], options: list[str], message: str
):
    before = (toy / "params.yaml").read_bytes()
    done = run_flow(toy, env, *options, check=False)
    assert done.returncode == 1
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert message in said
    assert "Traceback" not in done.stderr + done.stdout
    assert (toy / "params.yaml").read_bytes() == before
    run = last_run(env, "everything")
    assert run["state_type"] == "FAILED"
    assert within(env, run) == {}


@pytest.mark.usefixtures("finished")
def test_a_failure_shows_the_stages_own_lines(toy: Path, env: dict[str, str]):
    done = run_flow(
        toy, env | {"TOY_FAIL": "train@r01"}, "merge@r01", "-S", "train.batch=34", check=False
    )
    assert done.returncode == 1
    assert "error: toy.steps = 0: must be at least 1" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    run = within(env, last_run(env, "merge@r01"))["r01"]
    assert tasks(env, run) == {"train@r01": "Failed"}


class Running:
    """A flow in the middle of train@r01, and the process ids of the flow and of the stage."""

    def __init__(self, toy: Path, env: dict[str, str], log: Path) -> None:
        self.env, self.log, pids = env, log, log.with_suffix(".pids")
        slow = env | {"TOY_S": "60", "TOY_PIDS": str(pids)}
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.flow", "train@r01", "--single-item", "--force"],
                cwd=toy,
                env=slow,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(lambda: pids.exists() and "progress" in self._heard(), 60, "the stage's start")
        self.stage = int(pids.read_text().split()[1])

    def _heard(self) -> str:
        run = last_run(self.env, "train@r01")
        found = ask(
            self.env,
            "artifacts/filter",
            {"flow_runs": {"parent_flow_run_id": {"any_": [run["id"]]}}},
        )
        return " ".join(one["key"] for one in found) if run["state_type"] == "RUNNING" else ""

    def ended(self) -> int:
        wait_for(lambda: not Path(f"/proc/{self.stage}").exists(), 20, "the stage's end")
        return self.process.wait(timeout=60)


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize("how", ["ctrl-c", "cancel in the UI", "kill -9"])
def test_an_interrupt_ends_the_stage_and_the_next_run_goes_on(
    how: str, toy: Path, env: dict[str, str], tmp_path: Path
):
    running = Running(toy, env, tmp_path / "flow.log")
    run = last_run(env, "train@r01")
    match how:
        case "ctrl-c":
            second = run_flow(toy, env, "encode", check=False)
            assert (
                f"another run works in this folder (process {running.process.pid}" in second.stderr
            )
            os.kill(running.process.pid, signal.SIGINT)
            assert running.ended() == 130
            assert last_run(env, "train@r01")["state_name"] == "Cancelled"
        case "cancel in the UI":
            state = {"state": {"type": "CANCELLING"}, "force": True}
            ask(env, f"flow_runs/{run['id']}/set_state", state)
            assert running.ended() == 130
            assert last_run(env, "train@r01")["state_name"] == "Cancelled"
        case _:
            os.kill(running.process.pid, signal.SIGKILL)
            assert running.ended() == -signal.SIGKILL
            assert last_run(env, "train@r01")["state_name"] == "Running"
            run_flow(toy, env, "train@r01", "--single-item", "--force")
            assert ask(env, f"flow_runs/{run['id']}")["state_type"] == "CRASHED"
            assert last_run(env, "train@r01")["state_name"] == "Completed"
