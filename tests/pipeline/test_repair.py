"""Damage that DVC does not see is found, and repaired from whatever good copy is left."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import repair
from stages.support import hashes

sys.path.insert(0, str(Path(__file__).parent))

from toy import ROOT, environment, make_toy, toy_dvc

BANK, FOLDER = Path("data/r00/bank"), Path("photos")


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return environment(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Path:
    """Return a repository whose stages have run, with a folder that DVC tracks too."""
    root = make_toy(tmp_path_factory.mktemp("repair") / "toy", env)
    (root / FOLDER / "heldout").mkdir(parents=True)
    for name in ("b.png", "a.png", "heldout/c d é.png"):
        (root / FOLDER / name).write_text(name)
    toy_dvc(root, env, "add", str(FOLDER))
    toy_dvc(root, env, "repro")
    return root


@pytest.fixture
def project(finished: Path, tmp_path: Path, env: dict[str, str]) -> Path:
    shutil.copytree(finished, tmp_path / "toy", symlinks=True)
    toy_dvc(tmp_path / "toy", env, "status")  # so that DVC knows times and sizes of the copy
    return tmp_path / "toy"


def flip(path: Path) -> None:
    """Change a bit as a bad disk does it: size, time and mode stay."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(stat.S_IMODE(before.st_mode))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cached(project: Path, path: Path) -> Path:
    """Return the object of the cache that a file is kept in."""
    (name,) = hashes.contents(project / path)
    return project / ".dvc" / "cache" / "files" / "md5" / name[:2] / name[2:]


def mend(project: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.repair"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_nothing_happens_to_what_is_whole(project: Path):
    (line,) = mend(project)
    whole, _, of, *_ = line.split()
    assert whole == of or "outputs were whole" in line
    assert (project / BANK).exists()


def test_a_folder_has_the_hash_that_dvc_gives_it(finished: Path):
    (tracked,) = YAML(typ="safe").load(finished / "photos.dvc")["outs"]
    *_, whole = hashes.contents(finished / FOLDER)
    assert whole == tracked["md5"]


def test_a_flipped_bit_in_data_is_restored_from_the_cache(project: Path, env: dict[str, str]):
    good = (project / BANK).read_bytes()
    flip(project / BANK)
    assert "up to date" in toy_dvc(project, env, "repro").stdout  # which is why there is a command
    assert f"{BANK}: damaged; restored from the cache" in mend(project)
    assert (project / BANK).read_bytes() == good


def test_a_flipped_bit_in_a_folder_is_restored_from_the_cache(project: Path):
    flip(project / FOLDER / "a.png")
    assert f"{FOLDER}: damaged; restored from the cache" in mend(project)
    assert (project / FOLDER / "a.png").read_text() == "a.png"


def test_a_flipped_bit_in_the_cache_is_restored_from_data(project: Path, env: dict[str, str]):
    kept = cached(project, BANK)
    good = kept.read_bytes()
    flip(kept)
    assert mend(project)[0].startswith("cache: 1 of ")
    assert kept.read_bytes() == good
    (project / BANK).unlink()
    toy_dvc(project, env, "checkout")
    assert (project / BANK).read_bytes() == good


def test_without_a_good_copy_dvc_makes_it_anew(project: Path, env: dict[str, str]):
    good, kept = (project / BANK).read_bytes(), cached(project, BANK)
    flip(kept)
    flip(project / BANK)
    assert f"{BANK}: damaged, and no good copy is left; `dvc repro` makes it anew" in mend(project)
    assert not (project / BANK).exists()
    assert "Running stage 'encode'" in toy_dvc(project, env, "repro").stdout
    assert (project / BANK).read_bytes() == kept.read_bytes() == good


def test_files_that_dvc_was_writing_are_removed(project: Path, env: dict[str, str]):
    (project / ".dvc" / "tmp" / "rwlock").write_text('{"write": {"da')
    lock = (project / "dvc.lock").read_text()
    (project / "dvc.lock").write_text(lock[: len(lock) // 2] + "  :\n - {")
    told = mend(project)
    assert told[0].endswith("rwlock: torn; removed")
    assert told[1].startswith("dvc.lock: torn; removed")
    done = toy_dvc(project, env, "repro")
    assert "is cached - skipping run" in done.stdout
    assert (project / "dvc.lock").read_text() == lock


def test_it_waits_for_nobody_and_says_so(project: Path):
    info = {"pid": os.getpid(), "cmd": "dvc repro"}
    (project / ".dvc" / "tmp" / "rwlock").write_text(json.dumps({"write": {"data/x": info}}))
    with pytest.raises(ValueError, match=f"process {os.getpid()} is at work"):
        list(repair.repair(project))


def test_a_folder_that_is_no_repository_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="not inside of a DVC repository"):
        list(repair.repair(tmp_path))
