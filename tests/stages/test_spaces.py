"""The stage `spaces`: one row a space, what is already known to them all, and resumption."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from lirf import params
from lirf.autoencoder import model as ae
from lirf.params import SpacesParams
from lirf.store import parts
from stages.spaces import spaces
from stages.support import autoencoders
from stages.support.command import Out


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (14, 1, 8, 8), np.uint8)
    split = ["train"] * 10 + ["heldout"] * 4
    names = [f"{place}.png" for place in range(14)]
    rows = pa.table({"id": names, "split": split, "source": names})
    parts.write(tmp_path / "images", pixels, rows, {})
    return tmp_path / "images"


def numbers(lines: dict[str, dict[str, Any]]) -> SpacesParams:
    document = params.read(Path(__file__).parents[2] / "params.yaml")
    document["device"] = "cpu"
    document["autoencoder"] |= {
        "steps": 3, "widths": [4, 4], "batch": 4, "latent_channels": 2, "manifold_neighbours": 2,
    }  # fmt: skip
    return params.validate(SpacesParams, document | {"spaces": lines}, "params.yaml")


def run(folder: Path, images: Path, config: SpacesParams) -> list[dict[str, str]]:
    folder.mkdir()
    outputs = [Out(folder / name) for name in ("runs.tsv", "table.md", "strips.png")]
    spaces(config, images, *outputs)
    with Image.open(folder / "strips.png") as picture:
        assert picture.format == "PNG"
    with (folder / "runs.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_a_row_for_every_space(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs"
    config = numbers({"plain": {}})
    ae.save(ae.build(config.autoencoder, 1, 8), theirs)
    config = numbers(
        {"plain": {}, "kept": {"alignment": "manifold"}, "taken": {"pretrained": str(theirs)}}
    )
    rows = run(tmp_path / "a", images, config)
    assert [row["space"] for row in rows] == ["plain", "kept", "taken"]
    assert len({row["fingerprint"] for row in rows}) == 3
    assert len({row["midpoint_distance_pixels"] for row in rows}) == 1  # of the same pairs
    assert [row["pretrained"] for row in rows] == ["", "", "theirs"]
    table = (tmp_path / "a" / "table.md").read_text()
    assert "| plain | 2x4x4 |" in table
    assert "10 training and 4 held-out images" in table
    capsys.readouterr()
    assert run(tmp_path / "b", images, config) == rows
    assert '"before": 3, "done": 3, "label": "spaces-plain"' in capsys.readouterr().err


def test_what_is_kept_of_a_training_is_of_the_code_of_its_stage(images: Path) -> None:
    config = numbers({"plain": {}}).autoencoder
    for stage in ("autoencoder", "spaces"):
        autoencoders.obtain(autoencoders.task(stage, config, images, torch.device("cpu")))
    one, other = (next(Path(".scratch", s).glob("*/")).name for s in ("autoencoder", "spaces"))
    assert one != other


def test_a_space_that_cannot_be_is_named(tmp_path: Path, images: Path) -> None:
    with pytest.raises(ValueError, match=r"spaces.odd: stepz: unknown key; did you mean `steps`"):
        run(tmp_path / "b", images, numbers({"plain": {}, "odd": {"stepz": 3}}))
    with pytest.raises(ValueError, match=r"^spaces.odd: autoencoder.pretrained = nowhere:"):
        run(tmp_path / "a", images, numbers({"odd": {"pretrained": "nowhere"}}))
