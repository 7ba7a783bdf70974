"""Interrupted, repeated or split, training ends with the same bytes."""

import contextlib
import fcntl
import itertools
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tiny import ROOT, TINY, edit
from written import write_rows

from lirf import params
from lirf.images import transforms
from lirf.store import banks, files
from lirf.store.space import Space
from lirf.training import checkpoint
from lirf.training import state as states
from stages.support import command
from stages.support.command import Out
from stages.train import train

SPACE = Space("f00d", (2, 2, 2), (0.0, 1.0), (1.0, 2.0))
LOADED = params.load(ROOT / "params.yaml")


def numbers(steps: int = 40, **change: Any) -> params.Params:
    """Return small numbers: 40 steps a round, a checkpoint every 15, no augmentation."""
    small = {"batch": 4, "learning_rate": 1e-2, "checkpoint_every": 15, "augment_share": 0.0}
    models = {
        "r01": params.Model(role="loop", after="r00", steps=steps, cooldown=0),
        "r02": params.Model(role="loop", after="r01", steps=steps, cooldown=0),
        "baseline": params.Model(role="baseline", after="r00", steps=2 * steps, cooldown=0),
    }
    section = LOADED.train.model_copy(update={**small, **change})
    return LOADED.model_copy(update={"device": "cpu", "train": section, "models": models})


def write_bank(folder: Path, space: Space = SPACE, seed: int = 0, refined: int = 0) -> Path:
    """Write a bank, and augmented versions beside it."""
    folder.parent.mkdir(exist_ok=True)
    latents = np.random.default_rng(seed).standard_normal((6, *space.shape), np.float32)
    write_rows(folder, latents, space, refined)
    write_versions(folder.with_name("augmented"), 4, space)
    return folder


def write_versions(folder: Path, count: int, space: Space = SPACE, seed: int = 0) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    random = np.random.default_rng(seed)
    labels = {name: random.random(count, np.float32) for name in transforms.LABELS}
    latents = random.standard_normal((count, *space.shape), np.float32)
    banks.write_latents(folder, latents, pa.table(labels), space)
    return folder


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return write_bank(tmp_path / "bank")


def write_start(folder: Path, labels: int) -> Path:
    network = params.MLP(kind="mlp", width=16, depth=1)
    config = params.Initialize(seed=0, prediction="velocity", network=network)
    state = states.initial(config, SPACE, torch.device("cpu"), labels)
    checkpoint.save(state, folder)
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Path:
    return write_start(tmp_path / "start", labels=0)


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Return untrained weights of a network that takes augmentation labels."""
    return write_start(tmp_path / "told", labels=len(transforms.LABELS))


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def run(config: params.Params, name: str, bank: Path, start: Path, to: Path) -> dict[str, bytes]:
    """Train and return the bytes of all outputs by file name."""
    to.mkdir()
    outputs = (Out(to / "weights"), Out(to / "loss.tsv"))
    train(config, name, bank, bank.with_name("augmented"), start, *outputs)
    files = [path for path in to.rglob("*") if path.is_file()]
    return {path.name: path.read_bytes() for path in files}


@contextmanager
def interrupted_when(condition: Callable[[], bool]) -> Iterator[None]:
    """Interrupt the process, wherever it is, once `condition` holds.

    Where a destructor swallows the interrupt, another comes; a second one would else meet the way
    out of the first.
    """

    def look(_number: int, _frame: object) -> None:
        if condition():
            signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_killed_run_resumes_to_the_same_bytes(tmp_path: Path, bank: Path, start: Path):
    config = numbers(steps=600)
    scratch = tmp_path / "work" / ".scratch"
    with interrupted_when(lambda: any(scratch.glob("train-r01/*/step-*"))):
        run(config, "r01", bank, start, tmp_path / "killed")
    kept = max(scratch.glob("train-r01/*/step-*"))
    assert 0 < int(kept.name.removeprefix("step-")) < 600
    resumed = run(config, "r01", bank, start, tmp_path / "resumed")
    for path in scratch.rglob("step-*"):
        assert path.name == "step-000000600"
    scratch.rename(tmp_path / "aside")
    assert run(config, "r01", bank, start, tmp_path / "whole") == resumed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_of_the_step_that_it_finds(
    tmp_path: Path, bank: Path, start: Path, number: signal.Signals
):
    config, scratch = numbers(steps=2000, checkpoint_every=2000), tmp_path / "work" / ".scratch"
    unguarded, ticks = signal.getsignal(number), itertools.count()

    def look(_number: int, _frame: object) -> None:
        if signal.getsignal(number) is not unguarded and next(ticks) == 50:
            signal.raise_signal(number)

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        with pytest.raises(command.Interrupted, match=r"after \d+ of 2000 steps") as stopped:
            run(config, "r01", bank, start, tmp_path / "stopped")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stopped.value.number == number
    assert not any((tmp_path / "stopped").iterdir())
    (kept,) = scratch.glob("train-r01/*/step-*")
    taken = int(kept.name.removeprefix("step-"))
    assert 0 < taken < 2000
    assert f"after {taken} of" in str(stopped.value)
    resumed = run(config, "r01", bank, start, tmp_path / "resumed")
    scratch.rename(tmp_path / "aside")
    assert run(config, "r01", bank, start, tmp_path / "whole") == resumed


def test_a_disk_that_is_full_at_a_checkpoint_loses_nothing(tmp_path: Path, bank: Path, start: Path):
    config = numbers(steps=600)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large.*partial.network\.safetensors"):
            run(config, "r01", bank, start, tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not any((tmp_path / "full").iterdir())
    resumed = run(config, "r01", bank, start, tmp_path / "resumed")
    shutil.rmtree(".scratch")
    assert run(config, "r01", bank, start, tmp_path / "whole") == resumed


def test_a_finished_run_whose_outputs_were_lost_is_not_repeated(
    tmp_path: Path, bank: Path, start: Path, capsys: pytest.CaptureFixture[str]
):
    first = run(numbers(), "r01", bank, start, tmp_path / "first")
    assert '"before": 0, "done": 40, "label": "train r01"' in capsys.readouterr().err
    assert run(numbers(), "r01", bank, start, tmp_path / "second") == first
    assert '"before": 40, "done": 40, "label": "train r01"' in capsys.readouterr().err


def test_a_checkpoint_of_other_numbers_inputs_or_run_is_not_used(
    tmp_path: Path, bank: Path, start: Path, monkeypatch: pytest.MonkeyPatch
):
    other_bank = write_bank(tmp_path / "other" / "bank", seed=1)
    changes = [
        (numbers(learning_rate=1e-3), bank),
        (numbers(steps=20), bank),
        (numbers(), other_bank),
    ]
    for index, (config, data) in enumerate(changes):
        run(numbers(), "r01", bank, start, tmp_path / f"before{index}")
        after = run(config, "r01", data, start, tmp_path / f"after{index}")
        assert len([*Path(".scratch/train-r01").glob("*/step-*")]) == 1
        (tmp_path / f"fresh{index}").mkdir()
        monkeypatch.chdir(tmp_path / f"fresh{index}")
        assert run(config, "r01", data, start, tmp_path / f"clean{index}") == after
        monkeypatch.chdir(tmp_path / "work")


def test_an_edit_of_the_stage_itself_starts_over(tmp_path: Path, bank: Path, start: Path):
    tree = tmp_path / "tree"
    for name in ("lirf", "stages"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tree)
    loop = [("r01", "loop", "r00", 20), ("final", "loop", "r01", 20)]
    lines = [*loop, ("baseline", "baseline", "r00", 40)]
    models = {
        run: {"role": role, "after": after, "steps": n, "cooldown": 20}
        for run, role, after, n in lines
    }
    edit(tree, {**TINY, "models": models, "train": {"batch": 4, "augment_share": 0.0}})

    def trained() -> str:
        options = ["--run=r01", f"--bank={bank}", f"--augmented={bank.with_name('augmented')}"]
        options += [f"--start={start}", "--weights=weights", "--loss=loss.tsv"]
        command = [sys.executable, "-m", "stages.train", *options]
        subprocess.run(command, cwd=tree, check=True, env={**os.environ, "PYTHONPATH": ""})
        return files.sha256(tree / "weights" / checkpoint.STATE)

    with_cooldown = trained()
    stage = tree / "stages" / "train.py"
    cooled = "model.schedule(line, before)"
    assert cooled in stage.read_text()
    stage.write_text(stage.read_text().replace(cooled, "lambda _: 1.0"))
    assert trained() != with_cooldown


@pytest.mark.parametrize(
    "change",
    [
        {"augment_share": 0.5},
        {"jitter": 0.5},
        {"real_share": 0.25},
        {"start": "fresh"},
    ],
)
def test_an_edit_of_an_option_or_of_what_it_draws_from_starts_over(
    tmp_path: Path,
    told: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
):
    bank = write_bank(tmp_path / "bank", refined=3)
    plain = run(numbers(), "r01", bank, told, tmp_path / "plain")
    changed = run(numbers(**change), "r01", bank, told, tmp_path / "changed")
    assert changed["network.safetensors"] != plain["network.safetensors"]
    capsys.readouterr()
    assert run(numbers(**change), "r01", bank, told, tmp_path / "again") == changed
    assert '"before": 40, "done": 40' in capsys.readouterr().err
    write_versions(tmp_path / "augmented", 4, seed=1)
    other = run(numbers(**change), "r01", bank, told, tmp_path / "other")
    assert '"before": 0, "done": 40, "label": "train r01"' in capsys.readouterr().err
    assert (other == changed) == ("augment_share" not in change)


def test_a_fresh_model_of_the_loop_starts_untrained_with_draws_of_its_own(
    tmp_path: Path, bank: Path, start: Path
):
    fresh = numbers(start="fresh")
    first = run(fresh, "r01", bank, start, tmp_path / "r01")
    second = run(fresh, "r02", bank, tmp_path / "r01" / "weights", tmp_path / "r02")
    documents = [checkpoint.read_document(tmp_path / run / "weights") for run in ("r01", "r02")]
    assert [document["step"] for document in documents] == [40, 40]
    assert second["network.safetensors"] != first["network.safetensors"]
    assert second["loss.tsv"].decode().splitlines()[1].startswith("1\t")
    # Whatever it was before: it is the initial state of its own seed, trained.
    assert run(fresh, "r02", bank, start, tmp_path / "anew") == second
    other_seed = LOADED.initialize.model_copy(update={"seed": 1})
    other = fresh.model_copy(update={"initialize": other_seed})
    assert run(other, "r02", bank, start, tmp_path / "seed") != second


def test_the_baseline_does_not_know_of_fresh_starts(tmp_path: Path, bank: Path, start: Path):
    warm = run(numbers(), "baseline", bank, start, tmp_path / "warm")
    assert run(numbers(start="fresh"), "baseline", bank, start, tmp_path / "fresh") == warm


def test_a_killed_fresh_run_resumes_to_the_same_bytes(tmp_path: Path, bank: Path, start: Path):
    config, scratch = numbers(steps=600, start="fresh"), tmp_path / "work" / ".scratch"
    with interrupted_when(lambda: any(scratch.glob("train-r01/*/step-*"))):
        run(config, "r01", bank, start, tmp_path / "killed")
    resumed = run(config, "r01", bank, start, tmp_path / "resumed")
    scratch.rename(tmp_path / "aside")
    assert run(config, "r01", bank, start, tmp_path / "whole") == resumed


def test_augmented_latents_that_cannot_be_drawn_are_named(
    tmp_path: Path, bank: Path, start: Path, told: Path
):
    config = numbers(augment_share=0.5)
    with pytest.raises(
        ValueError, match=r"labels of 8 numbers: this network was built for 0; init"
    ):
        run(config, "r01", bank, start, tmp_path / "untold")
    write_versions(tmp_path / "augmented", 0)
    with pytest.raises(ValueError, match=r"augmented: empty, but train\.augment_share = 0\.5; set"):
        run(config, "r01", bank, told, tmp_path / "empty")
    write_versions(tmp_path / "augmented", 3, Space("beef", SPACE.shape, SPACE.mean, SPACE.std))
    with pytest.raises(ValueError, match=r"augmented: latents of another space: autoencoder is be"):
        run(numbers(), "r01", bank, start, tmp_path / "foreign")


def test_a_damaged_checkpoint_is_dropped(tmp_path: Path, bank: Path, start: Path):
    first = run(numbers(), "r01", bank, start, tmp_path / "first")
    (kept,) = Path(".scratch").glob("train-r01/*/step-*")
    (kept / "ema.safetensors").write_bytes(b"")
    assert run(numbers(), "r01", bank, start, tmp_path / "second") == first


def stopping(threshold: float = 0.05, steps: int = 200) -> params.Params:
    """Return numbers with a rule that stops a run on six points after about 100 steps."""
    stop_on = params.StopOn(
        rule="collapse", threshold=threshold, every=10, samples=16, path_steps=10
    )
    return numbers(steps, stop_on=stop_on)


def step_of(outputs: dict[str, bytes]) -> int:
    return json.loads(outputs["state.json"])["step"]


def test_it_stops_on_collapse_and_says_so(
    tmp_path: Path, bank: Path, start: Path, capsys: pytest.CaptureFixture[str]
):
    stopped = run(stopping(), "r01", bank, start, tmp_path / "stopped")
    step = step_of(stopped)
    assert 50 < step < 200
    assert step % 10 == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "stopped" in line]
    assert line.startswith(f"r01: stopped at step {step}, after {step} of 200 steps: collapse 0.")
    assert stopped["loss.tsv"].decode().splitlines()[-1].startswith(f"{step}\t")
    # Up to there it is the run without the rule, bit for bit.
    plain = run(numbers(step), "r01", bank, start, tmp_path / "plain")
    assert plain == stopped
    capsys.readouterr()
    assert run(stopping(), "r01", bank, start, tmp_path / "again") == stopped
    assert "after 0 of" not in capsys.readouterr().err


def test_a_higher_threshold_stops_later(
    tmp_path: Path, bank: Path, start: Path, capsys: pytest.CaptureFixture[str]
):
    steps, scores = [], []
    for threshold in (0.05, 0.1):
        config = stopping(threshold, steps=400)
        steps.append(step_of(run(config, "r01", bank, start, tmp_path / f"at{threshold}")))
        (said,) = re.findall(r"collapse (\S+) exceeds", capsys.readouterr().err)
        scores.append(float(said))
        assert scores[-1] > threshold
    assert steps[0] < steps[1] < 400


def test_a_killed_run_stops_where_a_whole_one_does(tmp_path: Path, bank: Path, start: Path):
    config = stopping(0.1, steps=400)
    scratch = tmp_path / "work" / ".scratch"
    with interrupted_when(lambda: any(scratch.glob("train-r01/*/step-*"))):
        run(config, "r01", bank, start, tmp_path / "killed")
    kept = max(scratch.glob("train-r01/*/step-*"))
    resumed = run(config, "r01", bank, start, tmp_path / "resumed")
    assert int(kept.name.removeprefix("step-")) < step_of(resumed) < 400
    scratch.rename(tmp_path / "aside")
    assert run(config, "r01", bank, start, tmp_path / "whole") == resumed


@pytest.mark.parametrize("steps", [70, 150])  # the first round ends before it collapses, or not
def test_two_rounds_on_one_bank_stop_where_one_of_their_length_does(
    tmp_path: Path, bank: Path, start: Path, steps: int
):
    config = stopping(steps=steps)
    baseline = run(config, "baseline", bank, start, tmp_path / "baseline")
    first = run(config, "r01", bank, start, tmp_path / "r01")
    second = run(config, "r02", bank, tmp_path / "r01" / "weights", tmp_path / "r02")
    assert step_of(baseline) == step_of(second) < 2 * steps
    for name in baseline.keys() - {"loss.tsv"}:
        assert second[name] == baseline[name]
    if step_of(first) == step_of(second):
        assert second["loss.tsv"] == b"step\tloss\n"


def test_a_loop_that_admits_nothing_is_its_baseline(tmp_path: Path, bank: Path, start: Path):
    baseline = run(numbers(), "baseline", bank, start, tmp_path / "baseline")
    run(numbers(), "r01", bank, start, tmp_path / "r01")
    second = run(numbers(), "r02", bank, tmp_path / "r01" / "weights", tmp_path / "r02")
    for name in baseline.keys() - {"loss.tsv"}:
        assert second[name] == baseline[name]


def test_the_curve_counts_steps_over_rounds_in_at_most_500_bins(
    tmp_path: Path, bank: Path, start: Path
):
    run(numbers(), "r01", bank, start, tmp_path / "r01")
    run(numbers(), "r02", bank, tmp_path / "r01" / "weights", tmp_path / "r02")
    header, *lines = (tmp_path / "r02" / "loss.tsv").read_text().splitlines()
    assert header == "step\tloss"
    assert [int(line.split("\t")[0]) for line in lines] == [*range(41, 81)]
    run(numbers(steps=750), "r01", bank, start, tmp_path / "long")
    steps = [line.split()[0] for line in (tmp_path / "long" / "loss.tsv").read_text().splitlines()]
    assert len(steps) == 501
    assert steps[-1] == "750"


def test_a_loss_that_is_not_finite_names_the_run_and_leaves_the_checkpoint(
    tmp_path: Path, bank: Path, start: Path
):
    config = numbers(learning_rate=1e30, clip_norm=None, checkpoint_every=1)
    with pytest.raises(ValueError, match=r"^train r01: step \d+: the (loss|weights)") as error:
        run(config, "r01", bank, start, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "weights").exists()
    (kept,) = Path(".scratch").glob("train-r01/*/step-*")
    checkpoint.load(kept, torch.device("cpu"))


def test_latents_of_another_space_are_refused(tmp_path: Path, start: Path):
    space = Space("beef", SPACE.shape, SPACE.mean, SPACE.std)
    bank = write_bank(tmp_path / "bank", space)
    with pytest.raises(ValueError, match=r"bank: latents of another space: autoencoder is beef"):
        run(numbers(), "r01", bank, start, tmp_path / "out")


def test_a_model_without_a_line_is_named(tmp_path: Path, bank: Path, start: Path):
    with pytest.raises(ValueError, match=r"models\.r09 is missing"):
        run(numbers(), "r09", bank, start, tmp_path / "out")


def test_two_processes_do_not_share_a_scratch(
    tmp_path: Path, bank: Path, start: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("stages.support.scratch.ENDING_S", 0.3)
    folder = Path(".scratch/train-r01")
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another process is at work there"):
            run(numbers(), "r01", bank, start, tmp_path / "out")


def losses_of(outputs: dict[str, bytes]) -> list[float]:
    lines = outputs["loss.tsv"].decode().splitlines()[1:]
    return [float(line.split("\t")[1]) for line in lines]


def test_two_processes_learn_what_one_does(
    tmp_path: Path, bank: Path, start: Path, capfd: pytest.CaptureFixture[str]
):
    """Losses of 40 steps agree to one part in a thousand: sums in another order differ."""
    one = run(numbers(), "r01", bank, start, tmp_path / "one")
    two = run(numbers(processes=2), "r01", bank, start, tmp_path / "two")
    assert '"before": 0, "done": 40, "label": "train r01"' in capfd.readouterr().err
    np.testing.assert_allclose(losses_of(two), losses_of(one), rtol=1e-3)
    assert step_of(two) == 40


@pytest.mark.slow
def test_two_processes_resume_to_the_same_bytes(tmp_path: Path, bank: Path, start: Path):
    config = numbers(steps=300, processes=2, checkpoint_every=15)
    two = run(config, "r01", bank, start, tmp_path / "two")
    (kept,) = Path(".scratch").glob("train-r01/*/step-*")
    shutil.rmtree(kept)

    def after_a_checkpoint() -> int:
        return signal.SIGTERM if any(Path(".scratch").glob("train-r01/*/step-*")) else 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "deferred", lambda: contextlib.nullcontext(after_a_checkpoint))
        with pytest.raises(command.Interrupted, match=r"train r01: interrupted after \d+ of 300 s"):
            run(config, "r01", bank, start, tmp_path / "stopped")
    (kept,) = Path(".scratch").glob("train-r01/*/step-*")
    assert 15 <= int(kept.name.removeprefix("step-")) < 300
    assert run(config, "r01", bank, start, tmp_path / "resumed") == two


def test_a_process_that_dies_ends_the_run_in_one_line(tmp_path: Path, bank: Path, start: Path):
    config, killed = numbers(steps=20_000, processes=2, checkpoint_every=10), list[int]()

    def look(_number: int, _frame: object) -> None:
        if not killed and any(Path(".scratch").glob("train-r01/*/step-*")):
            second = multiprocessing.active_children()[-1]
            killed.append(second.pid or 0)
            second.kill()

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(ValueError, match=r"^train r01: process \d of 2 was ended by SIGKILL"):
            run(config, "r01", bank, start, tmp_path / "dead")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert killed
    assert not multiprocessing.active_children()
    assert not any((tmp_path / "dead").iterdir())


def test_a_compiler_that_is_missing_is_named_with_its_run(
    tmp_path: Path, bank: Path, start: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        ValueError, match=r"^train r01: train\.compile = true: there is no compiler"
    ):
        run(numbers(compile=True), "r01", bank, start, tmp_path / "out")
