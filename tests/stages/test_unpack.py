from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lirf import params
from lirf.images import bundled
from stages.support.command import Out
from stages.unpack import unpack

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def numbers() -> params.Params:
    return params.load(ROOT / "params.yaml")


def test_digits_become_grey_png_files(numbers: params.Params, tmp_path: Path):
    unpack(numbers, "digits", Out(tmp_path / "digits"))

    assert len(list((tmp_path / "digits/train").glob("*.png"))) == 100
    assert len(list((tmp_path / "digits/heldout").glob("*.png"))) == 1697
    for name, split, pixels in bundled.digits()[:50]:
        with Image.open(tmp_path / "digits" / split / f"{name}.png") as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), pixels)


def test_faces_have_nothing_held_out(numbers: params.Params, tmp_path: Path):
    unpack(numbers, "faces", Out(tmp_path / "faces"))

    assert [path.name for path in (tmp_path / "faces").iterdir()] == ["train"]
    assert len(list((tmp_path / "faces/train").glob("*.png"))) == 100


def test_tissue_becomes_colour_png_files(numbers: params.Params, tmp_path: Path):
    unpack(numbers, "tissue", Out(tmp_path / "tissue"))

    for split in ("train", "heldout"):
        files = list((tmp_path / "tissue" / split).glob("*.png"))
        assert len(files) == 128
        with Image.open(files[0]) as image:
            assert (image.mode, image.size) == ("RGB", (32, 32))


def test_two_runs_write_the_same_bytes(numbers: params.Params, tmp_path: Path):
    contents = []
    for name in ("a", "b"):
        unpack(numbers, "faces", Out(tmp_path / name))
        files = sorted((tmp_path / name).rglob("*.png"))
        contents.append([(path.name, path.read_bytes()) for path in files])

    assert contents[0] == contents[1]


def test_an_unknown_dataset_names_the_known_ones(numbers: params.Params, tmp_path: Path):
    with pytest.raises(ValueError, match=r"--dataset cats: .* digits, faces, tissue"):
        unpack(numbers, "cats", Out(tmp_path / "cats"))

    assert not (tmp_path / "cats").exists()
