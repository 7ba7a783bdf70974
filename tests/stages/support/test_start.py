"""`lirf init`: a look at a folder, params.yaml for it, or one line and nothing written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lirf import params
from lirf.params import recipes
from stages import cli

ROOT = Path(__file__).parents[3]
LITTLE = {
    "autoencoder.widths: .*": "autoencoder.widths: [4, 8]",
    "autoencoder.steps: .*": "autoencoder.steps: 7",
    "initialize.network: .*": "initialize.network: {kind: mlp, width: 8, depth: 1}",
}
"""Of the recipe `digits`: enough for an estimate."""


def photograph(path: Path, seed: int, side: int = 40, colour: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((side, side + 3))
    (image if colour else image.convert("L")).save(path)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    little = (ROOT / "recipes/digits.yaml").read_text()
    for old, new in LITTLE.items():
        little, count = re.subn(old, new, little)
        assert count == 1
    (tmp_path / "recipes/little.yaml").write_text(little)
    for place in range(12):
        photograph(tmp_path / f"my pictures/{'ab'[place % 2]}/{place}.png", place)
    photograph(tmp_path / "my pictures/Test/12.png", 12, side=64)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    cli.main(["init", *arguments])
    return capsys.readouterr().out


def test_a_folder_is_looked_at_and_becomes_params(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    (project / "my pictures/notes.txt").write_text("no image")
    said = told(["my pictures", "--recipe", "little"], capsys)
    found = params.load(project / "params.yaml")
    assert (found.prepare.images, found.prepare.resolution) == ("my pictures", 8)
    assert (found.prepare.colour, found.autoencoder.widths) == ("rgb", (4, 8))
    first, *rest = said.splitlines()
    assert first == (
        "my pictures: 13 images, colour, short sides of 40 to 64 px; 1 in folders of held-out ones"
    )
    assert "folders to train on, as one kind: a 6, b 6" in rest
    assert "1 files are not images" in rest
    assert "train on 12 images, at 8 px; hold 1 out" in rest
    assert any(
        line.startswith("WARNING: what is drawn will have 8 px, your images") for line in rest
    )
    assert "--recipe small makes larger ones" in said
    assert re.search(
        r"^about \d+ minutes until there are pictures, [\d.]+ \w+ in all, on \d+ threads of",
        said,
        re.MULTILINE,
    )
    assert rest[-1] == "params.yaml: written; next: `uv run dvc repro`"
    names = {path.name for path in project.iterdir()}
    assert names == {"my pictures", "params.yaml", "dvc.yaml", "recipes", ".scratch"}


def test_near_duplicates_and_damage_are_named(project: Path, capsys: pytest.CaptureFixture[str]):
    with Image.open(project / "my pictures/a/2.png") as image:
        image.save(project / "my pictures/again.jpg", quality=60)
    whole = (project / "my pictures/b/3.png").read_bytes()
    (project / "my pictures/b/3.png").write_bytes(whole[: len(whole) // 2])
    (project / "my pictures/b/5.png").write_bytes(b"nothing")
    said = told(["my pictures", "--recipe", "little", "--dry-run"], capsys)
    assert "warning: nearly the same image: a/2.png and again.jpg" in said
    assert "warning: cannot be read: my pictures/b/3.png: " in said
    assert "warning: cannot be read: my pictures/b/5.png: " in said


def test_a_share_is_held_out_where_nothing_is(project: Path, capsys: pytest.CaptureFixture[str]):
    shutil.rmtree(project / "my pictures/Test")
    said = told(["my pictures", "--recipe", "little", "--dry-run"], capsys)
    assert "train on 10 images, at 8 px; hold 2 out, drawn by prepare.holdout = 0.2" in said


def test_a_dry_run_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]):
    before = (project / "params.yaml").read_bytes()
    said = told(["my pictures", "--recipe", "little", "--dry-run"], capsys)
    assert said.splitlines()[-1] == "params.yaml: left as it is, as you asked with --dry-run"
    assert (project / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "recipe", "why"),
    [
        ([], "small", "the smallest image has 40 px"),
        (["--resolution", "16"], "digits", "for --resolution 16"),
    ],
)
def test_the_recipe_follows_from_the_images(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], recipe: str, why: str
):
    shutil.copy(project / "recipes/little.yaml", project / f"recipes/{recipe}.yaml")
    said = told(["my pictures", *arguments], capsys)
    suits = recipes.load(project, recipe).suits
    assert f"recipe {recipe}, for {suits} ({why})" in said
    resolution = int(arguments[-1]) if arguments else 8
    assert params.load(project / "params.yaml").prepare.resolution == resolution


def test_grey_images_stay_grey(project: Path, capsys: pytest.CaptureFixture[str]):
    for place in range(12):
        photograph(project / f"grey/{place}.png", place, colour=False)
    said = told(["grey", "--recipe", "little"], capsys)
    assert said.startswith("grey: 12 images, grey, short sides of 40 px; 0 in folders")
    assert params.load(project / "params.yaml").prepare.colour == "grey"


def test_images_that_the_workflow_unpacks_need_not_be_there(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    said = told(["data/tissue", "--recipe", "little"], capsys)
    assert "data/tissue: 256 images, colour, short sides of 32 px; 128 in folders" in said
    found = params.load(project / "params.yaml").prepare
    assert (found.images, found.colour) == ("data/tissue", "rgb")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder; "),
        (["recipes"], "recipes: no images "),
        (
            ["my pictures", "--recipe", "photo65"],
            "recipes/photo65.yaml: no such recipe; there are: d",
        ),
        (
            ["my pictures", "--recipe", "little", "--resolution", "9"],
            "prepare.resolution = 9: not div",
        ),
        (["tiny"], "tiny: short sides of 5 px; at least 8 are needed"),
        (["few", "--recipe", "little"], "few: 2 training images (1 held out, "),
        (
            ["broken"],
            "broken/0.png: not a PNG, JPEG, WebP, TIFF or BMP image, ",
        ),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    project: Path, arguments: list[str], message: str
):
    for place in range(3):
        photograph(project / f"tiny/{place}.png", place, side=5)
        photograph(project / f"few/{place}.png", place)
    (project / "broken").mkdir()
    (project / "broken/0.png").write_bytes(b"nothing")
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
