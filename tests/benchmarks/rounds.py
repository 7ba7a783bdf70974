"""What a round costs on banks of many sizes: `python tests/benchmarks/rounds.py [ROWS ...]`.

For every size a bank in a DVC repository of its own in a temporary folder, 1,000 of whose rows are
real; the round has 1,000 candidates and admits all of them. `merge` and `admit` run as stages do,
with random latents of 4 x 4 x 4; `repro` is a whole `dvc repro` of a merge, and what DVC's cache
grows by. Seconds are the processor's, of the process and its children; the peak is that of the
largest process. `read` is what `evaluate` reads of a bank, in its own process: the rest of it sees
images, of which there are as many as ever. `--admit N` admits N candidates to a bank of as many
rows, all of them real, at every share of `--shares`.
"""
# ruff: noqa: T201

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from ruamel.yaml import YAML

from lirf.store import banks, tables
from lirf.store.space import Space

ROOT = Path(__file__).parents[2]
SPACE = Space("f00d", (4, 4, 4), (0.0,) * 4, (1.0,) * 4)
REAL, ADDED = 1000, 1000
# A small process in between: a child begins with the peak of the process that it was forked from.
WATCH = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open("used", "w").write(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss]))
sys.exit(code)
"""
READ = "import pathlib; from lirf.store import banks; banks.read_register(pathlib.Path('r00'))"
DVC = """
stages:
  merge:
    cmd: {python} -m stages.merge --run r01 --previous r00 --admitted admitted --bank r01
    deps: [r00, admitted]
    outs: [r01]
"""


def latents(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *SPACE.shape), np.float32)


def write_bank(folder: Path, count: int, real: int) -> None:
    """Write a bank of `count` rows, the first `real` of which are real."""
    ids = [f"train-{place:07d}" for place in range(count)]
    kinds = ["real"] * real + ["refined"] * (count - real)
    rows = {"id": ids, "round": ["r00"] * count, "kind": kinds, "source": ids}
    banks.write(folder, "r00", latents(0, count), banks.bank_rows(rows), SPACE)


def write_corrected(folder: Path, count: int) -> None:
    """Write `count` corrected candidates, of which every one passes."""
    columns = {
        "id": [f"r01-{place:07d}" for place in range(count)],
        "seed": pa.array(range(count), pa.int64()),
        "parents": [["train-0000000", "train-0000001"]] * count,
        "weights": [[0.5, 0.5]] * count,
        "lambda": np.full(count, 0.5),
        "displacement": np.full(count, 1.0),
        "novelty": np.full(count, 9.0),
    }
    schema = pa.schema([banks.BANK_SCHEMA.field(name) for name in columns])
    measured = {"lambda": 0.5, "spacing": 8.0}
    banks.write_latents(
        folder, latents(1, count), pa.table(columns, schema=schema), SPACE, **measured
    )


def run(folder: Path, *command: str) -> tuple[float, float]:
    """Run a command in `folder`; return its processor seconds and its peak in MiB."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    watched = [sys.executable, "-S", "-c", WATCH, *command]
    with (folder / "log").open("w") as log:
        done = subprocess.run(
            watched, cwd=folder, env=environment, stdout=log, stderr=log, check=False
        )
    if done.returncode:
        sys.exit((folder / "log").read_text())
    seconds, peak = json.loads((folder / "used").read_text())
    return seconds, peak / 1024


def size(folder: Path) -> float:
    """Return the MiB that a folder's files hold."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def stage(folder: Path, name: str, times: int, **paths: str) -> tuple[float, float]:
    """Run a stage so many times; return the least seconds and the peak."""
    options = [part for option, path in paths.items() for part in (f"--{option}", path)]
    runs = [run(folder, sys.executable, "-m", f"stages.{name}", *options) for _ in range(times)]
    return min(seconds for seconds, _ in runs), max(peak for _, peak in runs)


def merging(folder: Path, count: int) -> str:
    """Return the table's row of a bank of `count` rows."""
    write_bank(folder / "r00", count, REAL)
    write_corrected(folder / "admitted", ADDED)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    paths = {"run": "r01", "previous": "r00", "admitted": "admitted", "bank": "r01"}
    seconds, peak = stage(folder, "merge", 3, **paths)
    written = size(folder / "r01")
    admit_s, admit_peak = admission(folder, REAL, "admitted", "r00")
    read_s, read_peak = run(folder, sys.executable, "-c", READ)
    shutil.rmtree(folder / "r01")
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "add", "-q", "r00"]):
        prefix = [] if command[0] == "git" else [sys.executable, "-m"]
        run(folder, *prefix, *command)
    (folder / "dvc.yaml").write_text(DVC.format(python=sys.executable))
    before = size(folder / ".dvc" / "cache")
    whole, _ = run(folder, sys.executable, "-m", "dvc", "repro", "-q")
    grown = size(folder / ".dvc" / "cache") - before
    values = f"{seconds:.2f} | {peak:.0f} | {written:.1f} | {whole:.2f} | {grown:.2f}"
    values += f" | {admit_s:.2f} | {admit_peak:.0f} | {read_s:.2f} | {read_peak:.0f}"
    return f"| {count:,} | {values} |"


def admission(folder: Path, real: int, corrected: str, bank: str) -> tuple[float, float]:
    """Admit the candidates in `corrected` to a bank with `real` rows; return seconds and peak."""
    columns = {"displacement": np.full(real, 2.0)}
    tables.write(folder / "anchors.parquet", pa.table(columns))
    paths = {"run": "r01", "corrected": corrected, "anchors": "anchors.parquet", "bank": bank}
    paths |= {name: f"out/{name}" for name in ("admitted", "decision", "metrics")}
    return stage(folder, "admit", 1, **paths)


def admitting(folder: Path, count: int, share: float) -> str:
    """Return a line about an admission of `count` candidates to as many rows."""
    write_bank(folder / "bank", count, count)
    write_corrected(folder / "corrected", count)
    document = YAML(typ="safe").load(ROOT / "params.yaml")
    document["admit"]["share"] = share
    YAML(typ="safe").dump(document, folder / "params.yaml")
    seconds, peak = admission(folder, count, "corrected", "bank")
    return f"admit {count:,} to {count:,}, share {share}: {seconds:.0f} s, peak {peak:.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="*", type=int, default=[1000, 10_000, 100_000])
    parser.add_argument("--admit", type=int)
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0, 0.5])
    options = parser.parse_args()
    names = ("bank rows", "merge, s", "peak, MiB", "written, MiB", "dvc repro, s")
    names += ("cache grows, MiB", "admit, s", "peak, MiB", "read, s", "peak, MiB")
    print(f"| {' | '.join(names)} |\n|{'---:|' * len(names)}")
    for count in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            print(merging(Path(folder), count), flush=True)
    for share in options.shares if options.admit else []:
        with tempfile.TemporaryDirectory() as folder:
            print(admitting(Path(folder), options.admit, share), flush=True)


if __name__ == "__main__":
    main()
