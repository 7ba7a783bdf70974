"""Recipes: the shipped ones fit, and only what they name changes in params.yaml."""

import difflib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from lirf import params
from lirf.params import recipes

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "params.yaml"
NAMES = sorted(path.stem for path in (ROOT / recipes.FOLDER).glob("*.yaml"))


def written(folder: Path, name: str, images: str = "pictures") -> params.Params:
    """Write a recipe into the params.yaml of `folder`, and return what it says then."""
    path = folder / "params.yaml"
    path.write_text(recipes.rewrite(path, name, recipes.load(ROOT, name), images))
    return params.load(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(SHIPPED.read_text())
    return tmp_path


def test_digits_are_the_shipped_params_to_the_byte():
    digits = recipes.load(ROOT, "digits")
    assert recipes.rewrite(SHIPPED, "digits", digits, "data/digits") == SHIPPED.read_text()


def test_all_name_the_same_keys():
    assert {"digits", "small", "photo64", "photo128", "photo256"} <= {*NAMES}
    keys = [tuple(recipes.load(ROOT, name).params) for name in NAMES]
    assert len(set(keys)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_written_and_nothing_of_it_is_left(folder: Path, name: str):
    found = written(folder, name, "my pictures/of 'it'")
    assert found.prepare.images == "my pictures/of 'it'"
    wanted = recipes.load(ROOT, name).params
    assert found.prepare.resolution == wanted["prepare.resolution"]
    assert list(found.autoencoder.widths) == wanted["autoencoder.widths"]
    assert found.initialize.network.model_dump() == wanted["initialize.network"]
    steps = [found.models[one].steps for one in found.loop]
    assert sum(steps) == found.models["baseline"].steps == wanted["models.baseline.steps"]
    assert written(folder, "digits", "data/digits") == params.load(SHIPPED)


def override(path: Path, *lines: str) -> list[str]:
    """Override as `dvc exp run -S` does, by its code; return the lines that are another then."""
    before = path.read_text().splitlines()
    apply_overrides(path, list(lines))
    diff = difflib.ndiff(before, path.read_text().splitlines())
    return [line for line in diff if line[0] in "+-"]


@pytest.mark.parametrize("name", NAMES)
def test_an_override_of_dvcs_changes_one_line(folder: Path, name: str):
    written(folder, name, "my pictures/of 'it', all: 3")
    path = folder / "params.yaml"
    assert override(path, "train.batch=8192") in [
        [f"-   batch: {batch}", "+   batch: 8192"] for batch in (16, 64)
    ]
    assert override(path, "train.batch=8192") == []


def test_comments_and_other_numbers_stay(folder: Path):
    path = folder / "params.yaml"
    path.write_text(path.read_text().replace("ema_decay: 0.995", "ema_decay: 0.99 # my own"))
    written(folder, "photo64")
    before, after = SHIPPED.read_text().splitlines(), path.read_text().splitlines()
    assert "  ema_decay: 0.99 # my own" in after
    assert "  resolution: 64 # px: short side resized (Lanczos), centre square kept" in after
    comments = [
        [found for line in lines[lines.index("#") :] if (found := line.partition("#")[2])]
        for lines in (before, after)
    ]
    assert comments[0] == [found for found in comments[1] if found != " my own"]
    assert "# Recipe photo64: " in path.read_text().partition("\n#\n")[0]


def test_a_header_of_the_users_own_stays(folder: Path):
    path = folder / "params.yaml"
    _, mark, rest = path.read_text().partition("\n#\n")
    path.write_text("# mine" + mark + rest)
    written(folder, "small")
    assert path.read_text().startswith("# mine\n#\n")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("cats", None, r"recipes/cats\.yaml: no such recipe; there are: none$"),
        ("odd", "suits: x\n", r"recipes/odd\.yaml: time is missing; add it$"),
        ("odd", "suits: x\nexpekt: y\n", r"odd\.yaml: expekt: unknown key; did you mean `expect`"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_line(tmp_path: Path, name: str, text: Any, message: str):
    if text:
        (tmp_path / "recipes").mkdir()
        (tmp_path / "recipes" / f"{name}.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        recipes.load(tmp_path, name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.btch": 3}, r"with recipe odd: train\.btch: unknown key; did you mean `batch`"),
        ({"train.batch": 0}, r"with recipe odd: train\.batch = 0: should be"),
        ({"loop.rounds": 2}, r"with recipe odd: r03: a recipe keeps the names"),
    ],
)
def test_numbers_that_do_not_fit_are_one_line(folder: Path, changes: dict[str, Any], message: str):
    own = {**recipes.load(ROOT, "digits").params, **changes}
    odd = recipes.Recipe(suits="x", time="x", memory="x", expect="x", params=own)
    with pytest.raises(ValueError, match=message) as caught:
        recipes.rewrite(folder / "params.yaml", "odd", odd, "pictures")
    assert "\n" not in str(caught.value)


def test_line_endings_of_windows_stay(folder: Path):
    path = folder / "params.yaml"
    lines = path.read_bytes().replace(b"\n", b"\r\n")
    for begin in (b"", b"\xef\xbb\xbf"):  # as some editors there write
        path.write_bytes(begin + lines)
        assert params.load(path) == params.load(SHIPPED)

        text = recipes.rewrite(path, "small", recipes.load(ROOT, "small"), "pictures")

        assert text.count("\n") == text.count("\r\n") == text.count("\r") > 100
        path.write_bytes(text.encode())
        found = params.load(path)
        (folder / "params.yaml").write_text(SHIPPED.read_text())
        assert found == written(folder, "small")


STUDIES = ROOT / "pipeline" / "studies"


@pytest.mark.parametrize("name", ["pretrain", "spaces", "spiral"])
def test_so_do_the_files_of_studies(tmp_path: Path, name: str):
    path = Path(shutil.copy(STUDIES / f"{name}.yaml", tmp_path))
    key = {"spaces": "spaces.plain.alignment=manifold"}.get(name, f"{name}.steps=7")
    assert len(override(path, key)) == 2


def test_dvc_itself_changes_one_line_and_one_back(folder: Path):
    """In a repository of DVC's: an experiment is queued with `-S`, then its params.yaml read."""
    (folder / "dvc.yaml").write_text(
        "stages:\n  one:\n    cmd: echo\n    params: [train.batch, autoencoder]\n"
    )
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@localhost"]
    for line in (
        ["git", "init", "--quiet"],
        [sys.executable, "-m", "dvc", "init", "--quiet"],
        ["git", "add", "."],
        [*git, "commit", "--quiet", "--message", "begin"],
        [sys.executable, "-m", "dvc", "exp", "run", "-S", "train.batch=8192",
         "-S", "autoencoder.widths=[32,48]", "-S", "autoencoder.pretrained=start"],
    ):  # fmt: skip
        subprocess.run(line, cwd=folder, check=True, capture_output=True)
    diff = difflib.ndiff(
        SHIPPED.read_text().splitlines(), (folder / "params.yaml").read_text().splitlines()
    )
    assert [line for line in diff if line[0] in "+-"] == [
        "-   pretrained: # null: train one, as below",
        "+   pretrained: start # null: train one, as below",
        "-   - 32",
        "+   - 48",
        "-   batch: 64",
        "+   batch: 8192",
    ]
