"""A comparison in a real DVC repository: rows, what is shared, what is not run again, failures."""

import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from toy import ROOT, commit, end, environment, wait_for
from toy import command as run_command

from lirf import params, processor
from lirf.studies import comparison as numbers
from lirf.studies import plan
from pipeline import graph
from pipeline.comparison import __main__ as comparison
from pipeline.comparison import jobs as wanted
from pipeline.comparison.jobs import Job, Subject
from pipeline.comparison.table import Table, check
from stages.support import code

WORK = '''
"""Writes what the real stages write; fails where a batch is 13."""

import hashlib, json, os, sys, time
from pathlib import Path

name, *arguments = sys.argv[1:]
reads = [Path(a[1:]).read_bytes() for a in arguments if a[0] == "<"]
with Path(os.environ["TOY_LOG"]).open("a") as log:
    log.write(f"{name} {os.getpid()} {os.environ['OMP_NUM_THREADS']}\\n")
if name.startswith("train"):
    time.sleep(float(os.environ.get("TOY_S", "0")))
    if "batch: 13" in Path("params.yaml").read_text():
        sys.exit("error: train.batch = 13: nobody likes it")
share = hashlib.sha256(name.encode() + b"".join(reads)).digest()[0] / 255
evaluated = {
    "memorised": share, "precision": 0.9, "recall": 0.1, "density": 1.0, "coverage": 0.5,
    "frechet": 1 + share, "frechet_reason": None, "vendi": 9.0, "train_steps": 4, "n_fake": 10,
    "n_train": 100, "n_reference": 20, "reference": "heldout", "flip": False, "features": "pixels",
    "feature_hash": None, "neighbours": 5, "resolution": 8, "resize": "lanczos", "solver": "heun",
    "solver_steps": 20, "atol": None, "rtol": None, "seed": 1, "autoencoder": "ab",
    "generator": "network",
}
prepared = {"train": 100, "mirrored": 10}
admitted = {"candidates": 200, "admitted": 50, "bank_after": 160}
for path in [Path(a[1:]) for a in arguments if a[0] == ">"]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        is_bank = path.parent.name == "admission"
        document = admitted if is_bank else prepared if path.stem == "prepare" else evaluated
        path.write_text(json.dumps(document))
    else:
        path.write_text(f"{name} {Path('params.yaml').read_text()}")
'''
GRAPH = """
stages:
  encode:
    cmd: python work.py encode '>data/r00/bank' '>data/metrics/prepare.json'
    deps: [work.py]
    params: [autoencoder]
    outs: [data/r00/bank]
    metrics: [data/metrics/prepare.json: {cache: false}]
  train:
    foreach: ${models}
    do:
      cmd: python work.py train@${key} '<data/${item.after}/bank' '>data/${key}/weights'
      deps: [work.py, 'data/${item.after}/bank']
      params: [train, initialize, 'models.${key}.steps']
      outs: ['data/${key}/weights']
  admit:
    foreach: ${rounds}
    do:
      cmd: >-
        python work.py admit@${key} '<data/${key}/weights' '>data/${key}/bank'
        '>data/metrics/admission/${key}.json'
      deps: [work.py, 'data/${key}/weights']
      params: [admit, 'rounds.${key}.lambda']
      outs: ['data/${key}/bank']
      metrics: ['data/metrics/admission/${key}.json': {cache: false}]
  evaluate:
    foreach: ${models}
    do:
      cmd: python work.py evaluate@${key} '<data/${key}/weights' '>data/metrics/${key}.json'
      deps: [work.py, 'data/${key}/weights']
      params: [evaluate]
      metrics: ['data/metrics/${key}.json': {cache: false}]
"""
STUDY = {"title": "Study", "datasets": ["digits"], "seeds": [0]}
PLAN: dict[str, Any] = {
    "seed_keys": ["initialize.seed", "sample.seed"],
    "headline": "methods",
    "reference": "plain",
    "judged": "lirf",
    "datasets": {
        "digits": {"params": {"loop.steps": 4, "loop.rounds": 1}},
        "faces": {"images": "nowhere"},
    },
    "studies": {
        "methods": {
            **STUDY,
            "datasets": ["digits", "faces"],
            "rows": {
                "plain": {"label": "plain", "target": "baseline"},
                "bad": {"label": "bad", "target": "baseline", "params": {"train.batch": 13}},
                "lirf": {"label": "LIRF"},
            },
        },
        "parts": {**STUDY, "rows": {"lirf": {"label": "all of it"}}},
    },
}


def compare(
    folder: Path, env: dict[str, str], *options: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "pipeline.comparison", "--plan", "trial.yaml", *options]
    return run_command(arguments, folder, env, check)


def write_plan(folder: Path, batch: int) -> None:
    document = json.loads(json.dumps(PLAN))
    document["studies"]["methods"]["rows"]["bad"]["params"]["train.batch"] = batch
    YAML().dump(document, folder / "trial.yaml")


def began(env: dict[str, str]) -> list[str]:
    """Return the stages that have begun since the last call."""
    log = Path(env["TOY_LOG"])
    found = [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    return sorted(found)


def table(folder: Path) -> Path:
    return folder / "data" / "studies" / "trial" / "runs.tsv"


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    own = environment(home) | {"TOY_LOG": str(home / "log")}
    del own["DVC_SITE_CACHE_DIR"]  # every run has one of its own
    return own


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Path:
    """Return a repository whose results and lock file are of something else."""
    folder = tmp_path_factory.mktemp("comparison") / "project"
    (folder / "data" / "metrics").mkdir(parents=True)
    (folder / "data" / "metrics" / "final.json").write_text('{"memorised": "of another run"}')
    (folder / "work.py").write_text("raise SystemExit('not this one')")
    (folder / "dvc.yaml").write_text(GRAPH)
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (folder / ".gitignore").write_text("/.scratch\n/data/studies\n")
    run_command(["git", "init", "--quiet"], folder, env)
    run_command([sys.executable, "-m", "dvc", "init", "--quiet"], folder, env)
    commit(folder, env)
    (folder / "work.py").write_text(WORK)  # the working tree counts, not the commit
    (folder / "untracked.py").write_text("")
    write_plan(folder, batch=13)
    return folder


@pytest.fixture(scope="module")
def first(project: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Return a run of everything, two at a time, one of which fails."""
    return compare(project, env, "--jobs", "2", "--threads", "1", check=False)


def test_a_failure_is_a_line_and_the_others_go_on(
    first: subprocess.CompletedProcess[str], project: Path, env: dict[str, str]
):
    assert first.returncode == 1, first.stdout + first.stderr
    (line,) = re.findall(r"^methods-digits-bad-0: failed: .*$", first.stdout, re.MULTILINE)
    assert "train.batch = 13: nobody likes it; see " in line
    assert "nobody likes it" in (project / line.rpartition("see ")[2]).read_text()
    assert "Traceback" not in first.stdout + first.stderr
    assert "faces: nowhere: no such folder, 3 runs skipped" in first.stdout
    rows = numbers.read(table(project))
    assert [(r["study"], r["method"], r["target"]) for r in rows] == [
        ("methods", "lirf", "final"), ("methods", "plain", "baseline"), ("parts", "lirf", "final"),
    ]  # fmt: skip
    # One LIRF for two studies, and what two runs have in common once.
    assert began(env) == [
        "admit@r01", "encode", "evaluate@baseline", "evaluate@final",
        "train@baseline", "train@baseline", "train@final", "train@r01",
    ]  # fmt: skip


@pytest.mark.usefixtures("first")
def test_a_row_has_its_metrics_and_its_protocol(project: Path):
    rows = {r["method"]: r for r in numbers.read(table(project))}
    assert rows["lirf"]["memorised"] != rows["plain"]["memorised"]
    assert (rows["lirf"]["bank_rows"], rows["lirf"]["admitted"]) == (160, 0.25)
    assert (rows["plain"]["bank_rows"], rows["plain"]["admitted"]) == (110, None)
    for row in rows.values():
        assert (row["seed"], row["evaluate_seed"], row["threads"]) == (0, 1, 1)
        assert (row["device"], row["images"]) == ("cpu", "embedded")
        assert row["instructions"] == processor.instructions()
        assert re.fullmatch(r"[0-9a-f]{16}", str(row["params"]))
        assert row["seconds"] > 0


@pytest.mark.usefixtures("first")
def test_finished_runs_leave_only_the_cache_and_nothing_in_the_project(project: Path):
    scratch = project / ".scratch" / "comparison"
    (left,) = (scratch / "trial" / "runs").iterdir()
    assert left.name == "methods-digits-bad-0"
    assert not (left / "untracked.py").exists()
    assert not (left / "data" / "metrics" / "final.json").exists()
    assert not list((scratch / "trial").glob("source-*"))
    kind = f"cpu-{processor.instructions()}-1"
    assert (scratch / "cache" / kind / "runs").is_dir()
    assert not (project / "dvc.lock").exists()
    assert sorted(p.name for p in (project / "data").iterdir()) == ["metrics", "studies"]


@pytest.mark.usefixtures("first")
def test_only_what_is_missing_runs_again(project: Path, env: dict[str, str]):
    before = table(project).read_text().splitlines()
    began(env)
    write_plan(project, batch=12)
    try:
        done = compare(project, env)
    finally:
        write_plan(project, batch=13)
    assert "2 of 3 models are in" in done.stdout
    assert began(env) == ["evaluate@baseline", "train@baseline"]
    after = table(project).read_text().splitlines()
    assert [line for line in after if "\tbad\t" not in line] == before
    assert len(after) == len(before) + 1


@pytest.mark.usefixtures("first")
def test_what_is_in_the_table_can_be_had_again(project: Path, env: dict[str, str]):
    before = numbers.read(table(project))
    began(env)
    compare(project, env, "--again", "--keep", "--study", "parts")
    assert began(env) == [], "the cache has it all"
    folder = project / ".scratch" / "comparison" / "trial" / "runs" / "parts-digits-lirf-0"
    assert (folder / "data" / "final" / "weights").exists()
    shutil.rmtree(folder)
    after = numbers.read(table(project))
    places = [{key: row[key] for key in row.keys() - {"seconds"}} for row in (*before, *after)]
    assert all(places.count(place) == 2 for place in places)


@pytest.mark.usefixtures("first")
def test_a_check_at_other_code_runs_a_row_and_restamps_those_that_it_stands_for(
    project: Path, env: dict[str, str]
):
    before = table(project).read_bytes()
    old = {r["study"]: r for r in numbers.read(table(project)) if r["method"] == "lirf"}
    began(env)
    options = ("--check", "--study", "methods", "--method", "lirf")
    (project / "work.py").write_text(WORK + "# edited\n")
    try:
        done = compare(project, env, *options)
        after = {r["study"]: r for r in numbers.read(table(project)) if r["method"] == "lirf"}
        (project / "work.py").write_text(WORK.replace("/ 255", "/ 256"))
        failed = compare(project, env, *options, check=False)
    finally:
        (project / "work.py").write_text(WORK)
        table(project).write_bytes(before)
    assert "methods/digits/lirf/0: the recorded numbers, to the bit" in done.stdout
    assert "2 rows restamped" in done.stdout
    assert "evaluate@final" in began(env)
    for study, row in after.items():
        changed = {key for key in row if row[key] != old[study].get(key)}
        assert changed == {"code", "checked"}
        assert row["checked"] == f"{old[study]['code']} by methods/digits/lirf/0"
    assert failed.returncode == 1
    assert "methods/digits/lirf/0: " in failed.stdout
    assert "rows stay as they are" in failed.stdout


@pytest.mark.usefixtures("first")
def test_ctrl_c_ends_every_process_and_keeps_the_table(project: Path, env: dict[str, str]):
    before = table(project).read_bytes()
    log = Path(env["TOY_LOG"])
    log.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.comparison", "--plan", "trial.yaml"],
        cwd=project,
        env=env | {"TOY_S": "120"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: log.exists() and "train" in log.read_text(), 240, "the training")
        pids = [int(line.split()[1]) for line in log.read_text().splitlines()]
        refused = compare(project, env, check=False)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=150)
    finally:
        end(process)
        assert process.stdout is not None
        process.stdout.close()
    assert process.returncode == 130
    assert "the same command goes on from here" in output
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert table(project).read_bytes() == before
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: another run works in this folder")


@pytest.mark.usefixtures("first")
def test_a_list_may_be_cut_short(project: Path, env: dict[str, str]):
    listing = f"{sys.executable} -m pipeline.comparison --plan trial.yaml --list | true"
    done = run_command(["bash", "-c", listing], project, env)
    assert done.stderr == ""


@pytest.mark.usefixtures("first")
def test_the_list_says_what_is_there_stale_and_missing(
    project: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", env["DVC_GLOBAL_CONFIG_DIR"])
    state = r"^(there|stale|missing) +(\w+) +digits +(\w+) "

    def listed(*options: str) -> dict[tuple[str, str], str]:
        assert comparison.main(["--plan", "trial.yaml", "--list", *options]) == 0
        found = re.findall(state, capsys.readouterr().out, re.MULTILINE)
        return {(study, method): word for word, study, method in found}

    known = listed()
    assert known["methods", "plain"] == known["parts", "lirf"] == "there"
    assert known["methods", "bad"] in ("missing", "stale")  # as a test before left it
    assert set(listed("--study", "methods", "--method", "plain")) == {("methods", "plain")}
    (project / "work.py").write_text(WORK + "# edited\n")
    try:
        assert listed()["methods", "plain"] == "stale"
    finally:
        (project / "work.py").write_text(WORK)
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("novelty: 0.33", "novelty: 0.4"))
    try:  # the baseline admits nothing
        found = listed()
        assert (found["methods", "plain"], found["methods", "lirf"]) == ("there", "stale")
    finally:
        (project / "params.yaml").write_text(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--study", "method"], "--study method: no such study; there are methods, parts"),
        (["--dataset", "cats"], "--dataset cats: no such dataset; there are digits"),
        (["--study", "parts", "--method", "plain"], "--method plain: no such method; there are"),
        (["--seed", "9"], "--seed 9: no such seed; there are 0"),
        (["--images", "digits=x"], "--images digits=x: must be NAME=FOLDER, NAME one of: faces"),
        (["--jobs", "0"], "--jobs 0: must be at least 1"),
    ],
)
def test_a_mistake_is_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, options: list[str], message: str
):
    monkeypatch.chdir(project)
    assert comparison.main(["--plan", "trial.yaml", *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


def jobs(document: dict[str, Any], folder: Path | None = None) -> list[Job]:
    """Return the jobs of a plan whose baseline knows nothing of the rounds."""
    subjects = {
        "final": Subject("code of all", ("train", "initialize", "rounds", "models")),
        "baseline": Subject("code of some", ("train", "initialize.seed")),
    }
    agreed = params.validate(plan.Plan, document, "plan")
    runs = [r for r in plan.unroll(agreed, ROOT, "plan") if folder or r.dataset != "faces"]
    return wanted.make_jobs(runs, subjects, {"faces": folder} if folder else {}, {})


def of_code(job: Job, name: str) -> Job:
    return replace(job, identity={**job.identity, "code": name})


def test_equal_models_are_one_job_with_a_row_for_each():
    plain, bad, lirf = jobs(PLAN)
    assert [r.study for r in lirf.runs] == ["methods", "parts"]
    assert plain.identity["params"] != bad.identity["params"]
    assert len({one.name for one in (plain, bad, lirf)}) == 3


def test_other_images_are_another_model(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"one")
    before = [job.identity for job in jobs(PLAN, tmp_path)]
    (tmp_path / "a.png").write_bytes(b"other")
    after = [job.identity for job in jobs(PLAN, tmp_path)]
    changed = [one != other for one, other in zip(before, after, strict=True)]
    assert changed == [False, True, False, True, False, True]


def test_a_row_takes_the_place_of_a_stale_one(tmp_path: Path):
    plain, _, lirf = jobs(PLAN)
    rows = Table.load(tmp_path / "runs.tsv")
    rows.put(lirf.rows({"memorised": 0.5}))
    rows.put(plain.rows({"memorised": 0.7}))
    assert rows.find(lirf) is not None
    stale = of_code(lirf, "newer")
    assert rows.find(stale) is None
    assert {rows.state(stale, r) for r in lirf.runs} == {"stale"}
    rows.put(stale.rows({"memorised": 0.4}))
    again = Table.load(tmp_path / "runs.tsv").rows.values()
    assert [(r["study"], r["method"], r["memorised"]) for r in again] == [
        ("methods", "lirf", 0.4), ("methods", "plain", 0.7), ("parts", "lirf", 0.4),
    ]  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["runs.tsv"]


def test_what_another_hand_writes_into_the_table_stays(tmp_path: Path):
    plain, _, lirf = jobs(PLAN)
    rows = Table.load(tmp_path / "runs.tsv")
    Table.load(tmp_path / "runs.tsv").put(lirf.rows({"memorised": 0.5}))
    rows.put(plain.rows({"memorised": 0.7}))
    found = [r["method"] for r in Table.load(tmp_path / "runs.tsv").rows.values()]
    assert found == ["lirf", "plain", "lirf"]


def test_a_baseline_depends_on_less_than_the_loop():
    stages = graph.read(ROOT)
    assert not any(":" in name for name in graph.select(stages, "", upstream=True))
    assert "pipeline/studies/dvc.yaml:compare" in stages  # by name alone
    baseline = wanted.subject(ROOT, stages, "evaluate@baseline")
    final = wanted.subject(ROOT, stages, "evaluate@final")
    assert {"rounds", "admit"} <= {*final.keys}
    assert not {"rounds", "admit"} & {*baseline.keys}
    assert baseline.code != final.code
    assert code.manifest("train").keys() >= wanted.NEUTRAL  # what it names is there
    assert (ROOT / comparison.PLAN).is_file()


def test_a_check_restamps_the_rows_of_code_that_gives_the_recorded_numbers(tmp_path: Path):
    plain, bad, lirf = jobs(PLAN)
    rows = Table.load(tmp_path / "runs.tsv")
    for job, share in ((plain, 0.7), (bad, 0.8), (lirf, 0.5)):
        rows.put(of_code(job, "older").rows({"memorised": share, "seconds": 1}))
    every, again = [plain, bad, lirf], [plain, lirf]
    found = {
        plain.name: {"memorised": 0.7, "seconds": 9},
        lirf.name: {"memorised": 0.5000000000000001},
    }
    assert not check(rows, every, again, found)
    after = {row["method"]: row for row in Table.load(tmp_path / "runs.tsv").rows.values()}
    assert (after["lirf"]["code"], after["lirf"].get("checked")) == ("older", None)
    assert (after["bad"]["code"], after["bad"]["memorised"]) == (bad.identity["code"], 0.8)
    assert after["bad"]["checked"] == "older by methods/digits/plain/0"


def test_rows_are_known_by_former_names_of_params():
    own = Subject("code", ("train", "encode"))
    document = {"train": {"batch": 1}, "encode": {"views": 2}, "threads": 2}
    names = {"encode.views": "encode.copies", "thr*": None}
    then = wanted._renamed(document, names)
    assert then == {"train": {"batch": 1}, "encode": {"copies": 2}}
    assert own.numbers(then) != own.numbers(document) == own.numbers(wanted._renamed(document, {}))
