"""Manifests of code: what a stage imports, and which edits count."""

import json
import shutil
from pathlib import Path

import pytest

from stages.support import code

STAGE = """
from __future__ import annotations
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from lirf.store.types import Type
LIMIT = 3
def merge(bank: Type) -> int:
    from lirf.store.bones import bone
    return bone(bank)
if __name__ == "__main__":
    command.run(merge)
"""
SOURCES = {
    "lirf/__init__.py": '"""The method."""',
    "lirf/params/__init__.py": "from lirf.store import schema",
    "lirf/store/__init__.py": "",
    "lirf/store/schema.py": "",
    "lirf/store/banks.py": "import math",
    "lirf/store/bones.py": "from lirf.store import banks",
    "lirf/store/types.py": "",
    "lirf/report/__init__.py": "",
    "lirf/report/page.py": "from lirf.params import Params",
    "lirf/report/page.css": "a {}",
    "lirf/report/page.css~": "",
    "lirf/report/page.pyi": "",
    "stages/__init__.py": "import lirf",
    "stages/support/__init__.py": "",
    "stages/cli.py": "",
    "stages/merge.py": STAGE,
    "stages/page.py": """
import lirf.report.page
if __name__ == "__main__":
    command.run(page)
""",
}
MERGE = {
    "lirf/__init__.py",
    "lirf/store/__init__.py",
    "lirf/store/banks.py",
    "lirf/store/bones.py",
    "stages/__init__.py",
    "stages/merge.py",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


def edited(root: Path, name: str, source: str) -> list[str]:
    """Return the stages whose code an edit changes."""
    before = {stage: code.fingerprint(stage, root=root) for stage in code.names(root)}
    (root / name).write_text(source)
    return [stage for stage in before if before[stage] != code.fingerprint(stage, root=root)]


def test_a_stage_is_what_runs_as_a_command(root: Path):
    assert code.names(root) == ["merge", "page"]
    with pytest.raises(ValueError, match=r"stages/cli\.py: no such stage; there are merge, page"):
        code.manifest("cli", root)


def test_code_is_what_is_imported_wherever_it_stands(root: Path):
    assert code.manifest("merge", root).keys() == MERGE


def test_a_page_comes_with_its_files(root: Path):
    listed = code.manifest("page", root)
    assert {path for path in listed if "report" in path} == {
        "lirf/report/__init__.py",
        "lirf/report/page.css",
        "lirf/report/page.py",
    }


@pytest.mark.parametrize(
    ("name", "source", "stages"),
    [
        ("lirf/store/banks.py", "import math  # a comment", []),
        ("lirf/store/banks.py", '"""A module."""\n\nimport math\n', []),
        ("lirf/store/banks.py", "import cmath", ["merge"]),
        ("lirf/store/types.py", "A = 1", []),
        ("lirf/params/__init__.py", "A = 1", []),
        ("lirf/report/page.css", "b {}", ["page"]),
        ("lirf/__init__.py", "A = 1", ["merge", "page"]),
        (
            "stages/merge.py",
            STAGE.replace("LIMIT = 3", "LIMIT = 4"),
            ["merge"],
        ),
        ("stages/merge.py", STAGE.replace("= 3", '= 3\n"""Most."""'), []),
        ("stages/merge.py", STAGE.replace("int:", 'int:\n    "It."'), []),
    ],
)
def test_an_edit_counts_where_it_changes_what_is_done(
    root: Path, name: str, source: str, stages: list[str]
):
    assert edited(root, name, source) == stages


def test_several_stages_have_one_fingerprint_and_files_can_be_left_out(root: Path):
    both = code.fingerprint("merge", "page", root=root)
    assert (
        both == code.fingerprint("page", "merge", root=root) != code.fingerprint("page", root=root)
    )
    without = {"lirf/store/banks.py"}
    before = code.fingerprint("merge", root=root, without=without)
    (root / "lirf/store/banks.py").write_text("A = 1")
    assert code.fingerprint("merge", root=root, without=without) == before


def test_a_file_that_is_not_python_is_named_with_its_line(root: Path):
    (root / "lirf/store/banks.py").write_text("\n(")
    with pytest.raises(ValueError, match=r"lirf/store/banks\.py: line 2: .*never closed"):
        code.manifest("merge", root)


def test_a_stage_brings_its_manifest_up_to_date_where_dvc_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    code.refresh("merge")
    assert not code.MANIFESTS.exists()
    code.MANIFESTS.mkdir(parents=True)
    stale = code.MANIFESTS / "merge.json"
    stale.write_text("{}")
    code.refresh("merge")
    code.refresh("page")
    assert json.loads(stale.read_text()) == code.manifest("merge")
    assert [*code.MANIFESTS.iterdir()] == [stale]


def test_the_working_tree_is_what_runs(tmp_path: Path):
    shutil.copytree(code.ROOT / "stages", tmp_path / "stages")
    shutil.copytree(code.ROOT / "lirf", tmp_path / "lirf")
    assert code.manifest("train", tmp_path) == code.manifest("train")
