"""The README says what the code does: its commands exist and its table is the measured one.

`uv run python tests/test_readme.py` writes the tables of the last `dvc repro`, of the workflow and
of the comparison, into the README.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lirf import params

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TABLE = ROOT / "data" / "report" / "table.md"
BLOCKS = {"results": TABLE, "comparison": ROOT / "data" / "studies" / "comparison" / "table.md"}


def block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n).*(?=<!-- /{name} -->)", flags=re.DOTALL)


def shown(name: str) -> str:
    """Return what the README shows of a table: itself, and the comparison's picture under it."""
    picture = "data/studies/comparison/tradeoff.png"
    more = f"\n![copies against Frechet distance]({picture})\n" if name == "comparison" else ""
    return BLOCKS[name].read_text() + more


def test_it_opens_with_the_two_commands():
    commands = re.findall(r"^(uv run [^#\n]+?) *(?:#.*)?$", README.read_text(), flags=re.MULTILINE)
    assert commands[:2] == ["uv run dvc repro", "uv run pytest"]
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith(commands[1])


@pytest.mark.parametrize("name", BLOCKS)
def test_its_results_are_those_of_the_metrics(name: str):
    assert len(block(name).findall(README.read_text())) == 1
    if not BLOCKS[name].exists():
        pytest.skip("data/ is not here")
    assert block(name).findall(README.read_text()) == [shown(name)]


def test_its_pictures_are_there():
    if not TABLE.exists():
        pytest.skip("data/ is not here")
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README.read_text())
    assert pictures
    assert [picture for picture in pictures if not (ROOT / picture).is_file()] == []


def test_its_python_draws_images(tmp_path: Path):
    if not (ROOT / "data" / "model").exists():
        pytest.skip("there is no model here")
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    check = "assert len({image.tobytes() for image in images}) == 64 and more.shape[0] == 4"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{check}"],
        cwd=ROOT,
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_stage_and_section_it_names_exists():
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    text = README.read_text()
    rows = re.findall(r"^\| `([a-z]+)`(?:, `([a-z]+)`)? \|", text, flags=re.MULTILINE)
    named = {name for row in rows for name in row if name}
    assert named <= {*stages, *params.Params.model_fields} | {"memorised", "precision"}


if __name__ == "__main__":
    for name in [name for name, path in BLOCKS.items() if path.exists()]:
        text = shown(name)
        README.write_text(block(name).sub(lambda _, text=text: text, README.read_text()))
