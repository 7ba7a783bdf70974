"""`lirf init`: params.yaml for a folder of images, or one line and nothing written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lirf import params
from lirf.params import recipes
from stages import cli

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    for name in ("one.png", "two.png", "heldout/three.png"):
        path = tmp_path / "my pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_and_a_recipe_become_params(project: Path, capsys: pytest.CaptureFixture[str]):
    cli.main(["init", "my pictures", "--recipe", "photo64"])
    found = params.load(project / "params.yaml")
    assert (found.prepare.images, found.prepare.resolution) == ("my pictures", 64)
    told = capsys.readouterr().out
    assert "my pictures: 2 images to train on, 1 held out" in told
    assert f"time: {recipes.load(ROOT, 'photo64').time}; " in told
    assert "uv run dvc repro" in told
    assert {path.name for path in project.iterdir()} == {"my pictures", "params.yaml", "recipes"}


def test_images_that_the_workflow_unpacks_need_not_be_there(project: Path):
    cli.main(["init", "data/tissue"])
    found = params.load(project / "params.yaml").prepare
    assert (found.images, found.resolution, found.colour) == ("data/tissue", 32, "rgb")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder; "),
        (["recipes"], "recipes: no images "),
        (
            ["my pictures", "--recipe", "photo65"],
            "recipes/photo65.yaml: no such recipe; there are: d",
        ),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    project: Path, arguments: list[str], message: str
):
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(SystemExit) as caught:
        cli.main(["init", *arguments])
    assert str(caught.value.code).startswith(f"error: {message}")
    assert "\n" not in str(caught.value.code)
    assert (project / "params.yaml").read_bytes() == before


def test_outside_of_a_project_a_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main(["init", "data/tissue"])
    assert str(caught.value.code).startswith("error: recipes/small.yaml: no such recipe")
