"""A disk that is full or read-only: one line that names the file, and nothing half-written."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lirf.store import banks
from lirf.store.space import Space

ROOT = Path(__file__).parents[1]
SPACE = Space("f00d", (2, 4, 4), (0.0, 1.0), (1.0, 2.0))
COUNT = 4000  # latents of the new part: half a megabyte

Mount = Callable[..., None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with a bank, and admitted latents that a stage can merge into it."""
    random = np.random.default_rng(0)
    (tmp_path / "params.yaml").symlink_to(ROOT / "params.yaml")
    (tmp_path / "data").mkdir()
    for name, count, parents in (("r00", 5, None), ("r01", COUNT, ["r00-0"])):
        columns = {"id": [f"{name}-{i}" for i in range(count)], "parents": [parents] * count}
        latents = random.standard_normal((count, *SPACE.shape), np.float32)
        if parents is None:
            banks.write(tmp_path / name, name, latents, banks.bank_rows(columns), SPACE)
        else:
            banks.write_latents(tmp_path / name, latents, banks.bank_rows(columns), SPACE)
    return tmp_path


@pytest.fixture
def mount(project: Path) -> Iterator[Mount]:
    """Make `data` a small disk of its own, and return what changes it."""

    def change(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(project / "data")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no mount here: {done.stderr.strip()}")

    change("size=200k")
    yield change
    subprocess.run(["umount", str(project / "data")], check=True)


def merge(project: Path) -> subprocess.CompletedProcess[str]:
    options = ["--run=r01", "--previous=r00", "--admitted=r01", "--bank=data/r01/bank"]
    return subprocess.run(
        [sys.executable, "-m", "stages.merge", *options],
        cwd=project,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_full_disk_names_the_file_and_the_next_run_succeeds(project: Path, mount: Mount):
    done = merge(project)
    assert done.returncode == 1
    assert done.stderr == (
        "error: data/r01/.bank.partial/r01/array: no space left on device; free some space on its"
        " disk and rerun `dvc repro`\n"
    )
    assert list((project / "data" / "r01").iterdir()) == []
    mount("remount,size=20m")
    assert merge(project).returncode == 0
    assert len(banks.read(project / "data" / "r01" / "bank").latents) == COUNT + 5


def test_a_read_only_disk_is_named_and_keeps_what_is_there(project: Path, mount: Mount):
    mount("remount,size=20m")
    assert merge(project).returncode == 0
    mount("remount,ro")
    done = merge(project)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "read-only file system; make it writable and rerun `dvc repro`" in done.stderr
    assert "data/r01" in done.stderr
    assert len(banks.read(project / "data" / "r01" / "bank").latents) == COUNT + 5
    mount("remount,rw")
    assert merge(project).returncode == 0
