"""Images in folders of any name, and a project without git."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dvc.config import Config
from PIL import Image
from ruamel.yaml import YAML

from lirf.store import parts

ROOT = Path(__file__).parents[1]
COMMAND: str = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]["prepare"]["cmd"]


def project(folder: Path, images: str) -> Path:
    """Make a folder to run `prepare` in, with params.yaml for `images`."""
    (folder / "data" / "code").mkdir(parents=True)
    params = YAML().load(ROOT / "params.yaml")
    params["prepare"]["images"] = images
    YAML().dump(params, folder / "params.yaml")
    return folder


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `prepare` as DVC does: by a shell."""
    return subprocess.run(
        COMMAND.replace("python", sys.executable, 1),
        shell=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["my images", "it's", '$(touch made) & "b" `touch made`; ~'])
def test_a_shell_reads_no_name_of_a_folder(tmp_path: Path, name: str):
    project(tmp_path, name)
    (tmp_path / name).mkdir()
    generator = np.random.default_rng(0)
    for index in range(12):
        pixels = generator.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / f"{index} & $x.png")

    done = run(tmp_path)

    assert (done.returncode, done.stderr.splitlines()[-1][:20]) == (0, "prepare: 10 to train")
    assert len(parts.read(tmp_path / "data" / "images").array) == 12
    assert not list(tmp_path.rglob("made"))


def test_no_folder_is_named_by_its_key(tmp_path: Path):
    done = run(project(tmp_path, ""))

    assert done.returncode == 1
    assert done.stderr == (
        "error: params.yaml: prepare.images = '': must name a folder; put digits in quotes\n"
    )


def test_an_archive_tells_dvc_that_it_has_no_git(tmp_path: Path):
    source, unpacked = tmp_path / "source", tmp_path / "unpacked"
    (source / ".dvc").mkdir(parents=True)
    unpacked.mkdir()
    shutil.copy(ROOT / ".gitattributes", source)
    shutil.copy(ROOT / ".dvc" / "config", source / ".dvc")
    git = ["git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *arguments], check=True)
    archive = tmp_path / "a.tar"
    subprocess.run([*git, "archive", "-o", str(archive), "HEAD"], check=True)
    shutil.unpack_archive(archive, unpacked, filter="data")

    told = [Config(str(place / ".dvc"))["core"].get("no_scm") for place in (source, unpacked)]

    assert told == [False, True]
    assert Config(str(unpacked / ".dvc"))["core"]["analytics"] is False
