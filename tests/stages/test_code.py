"""Stage `code`: a manifest for every other stage."""

import json
from pathlib import Path

from tiny import ROOT

from lirf import params
from stages.code import code
from stages.support import code as sources
from stages.support.command import Out


def test_every_other_stage_has_a_manifest(tmp_path: Path):
    code(params.load(ROOT / "params.yaml"), Out(tmp_path / "manifests"))
    written = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("manifests/*")}
    assert written.keys() == {*sources.names()} - {"code"}
    assert {path.suffix for path in tmp_path.glob("manifests/*")} == {".json"}
    assert "stages/train.py" in written["train"]
