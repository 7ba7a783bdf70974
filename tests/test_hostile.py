"""Nothing that comes from a file or a hub is code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lirf import params
from lirf.images import decode

ROOT = Path(__file__).parents[1]
SOURCES = [path for name in ("lirf", "stages", "pipeline") for path in (ROOT / name).rglob("*.py")]
LOADERS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "eval"}
LOADERS |= {"exec", "np.loadtxt", "numpy.loadtxt", "yaml.load", "yaml.unsafe_load"}


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """Return the calls of a source by what is called."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [(ast.unparse(call.func), call) for call in found]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_loads_a_pickle_or_runs_what_it_reads(path: Path):
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in (
            node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")]
        )
    }
    assert not imported & LOADERS
    for name, call in calls(path):
        options = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert name not in LOADERS, ast.unparse(call)
        assert options.get("allow_pickle", "False") == "False", ast.unparse(call)
        assert options.get("trust_remote_code", "False") == "False", ast.unparse(call)
        if name == "torch.load":  # of tensors alone
            assert options.get("weights_only") == "True", ast.unparse(call)
        if name in ("np.load", "numpy.load"):
            assert options.get("allow_pickle") == "False", ast.unparse(call)
        if name == "YAML" and "typ" in options:
            assert options["typ"] in ("'safe'", "'rt'"), ast.unparse(call)
        if name.endswith(".from_pretrained"):
            assert options.get("local_files_only") == "True", ast.unparse(call)
            assert options.get("use_safetensors") == "True", ast.unparse(call)


@pytest.mark.parametrize("model", ["me/model", "https://hub.example/me/model", "../.."])
def test_a_hub_id_is_no_folder_and_nothing_is_asked_for(tmp_path: Path, model: str):
    done = subprocess.run(
        [sys.executable, "-m", "stages.cli", "sample", "--model", model, "--out", "images"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "there is no published model in it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_larger_than_any_image_is_not_read(tmp_path: Path):
    path = tmp_path / "sparse.png"
    Image.new("L", (8, 8)).save(path)
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    numbers = params.load(ROOT / "params.yaml").prepare
    with pytest.raises(decode.BadImage, match=r"sparse\.png: 1099512 MB, more than any image"):
        decode.load(path, numbers)
