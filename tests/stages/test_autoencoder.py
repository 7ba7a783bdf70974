"""The stage `autoencoder`: its outputs, with and without held-out images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from lirf import autoencoder as ae
from lirf import params, store
from lirf.params import Params
from stages.autoencoder import autoencoder
from stages.command import Out

OUTPUTS = {
    "model": "autoencoder",
    "metrics": "autoencoder.json",
    "reconstructions": "reconstructions.png",
    "loss": "loss.tsv",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def numbers(steps: int = 12, **changes: object) -> Params:
    small = {"steps": steps, "widths": (4, 8), "batch": 8, "latent_channels": 2, **changes}
    whole = params.load(Path(__file__).parents[2] / "params.yaml")
    section = whole.autoencoder.model_copy(update={"manifold_neighbours": 3, **small})
    return whole.model_copy(update={"device": "cpu", "autoencoder": section})


def write_images(folder: Path, train: int, heldout: int, channels: int = 1, side: int = 8) -> Path:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (train + heldout, channels, side, side), dtype=np.uint8)
    split = ["train"] * train + ["heldout"] * heldout
    ids = [f"{name}-{i:05d}" for i, name in enumerate(split)]
    rows = pa.table({"id": ids, "split": split})
    store.write_part(folder, images, rows, {"colour": "grey", "resolution": side})
    return folder


def run(folder: Path, images: Path, numbers: Params) -> dict[str, Out]:
    folder.mkdir()
    outputs = {option: Out(folder / name) for option, name in OUTPUTS.items()}
    autoencoder(numbers, images, **outputs)
    return outputs


def test_outputs_of_a_run_with_held_out_images(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", train=12, heldout=5)
    outputs = run(tmp_path / "a", images, numbers())
    metrics = json.loads(outputs["metrics"].read_text())
    assert metrics["n_train"] == 12
    assert metrics["n_heldout"] == 5
    assert metrics["latent_shape"] == "2x4x4"
    assert (metrics["steps"], metrics["seed"]) == (12, 0)
    for split in ("train", "heldout"):
        assert 0 < metrics[f"psnr_{split}"] < 58
        assert -1 <= metrics[f"ssim_{split}"] <= 1
    assert metrics["psnr_pca_train"] > 58  # 12 images span 11 of 32 components
    assert metrics["psnr_pca_heldout"] < 20
    assert 0 < metrics["moved_train_median"] <= metrics["moved_train_max"]
    assert all(isinstance(value, str | int | float) for value in metrics.values()), "flat"
    loaded = ae.load(outputs["model"], torch.device("cpu"))
    assert metrics["fingerprint"] == loaded.fingerprint
    lines = outputs["loss"].read_text().splitlines()
    assert lines[0] == "step\treconstruction\tkl\tmanifold"
    assert [int(line.split("\t")[0]) for line in lines[1:]] == list(range(1, 13))
    with Image.open(outputs["reconstructions"]) as picture:
        assert picture.format == "PNG"


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", train=12, heldout=3)
    first, second = (run(tmp_path / name, images, numbers(steps=3)) for name in "ab")
    for name in ("metrics", "reconstructions", "loss"):
        assert first[name].read_bytes() == second[name].read_bytes(), name


def test_without_held_out_images_their_metrics_are_absent(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", train=8, heldout=0, channels=3)
    outputs = run(tmp_path / "a", images, numbers(steps=2))
    metrics = json.loads(outputs["metrics"].read_text())
    assert metrics["n_heldout"] == 0
    assert not [name for name in metrics if name.endswith("_heldout") and name != "n_heldout"]
    assert outputs["reconstructions"].is_file()


def test_the_loss_curve_is_short_and_keeps_the_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.autoencoder.CURVE_ROWS", 5)
    images = write_images(tmp_path / "images", train=8, heldout=0)
    outputs = run(tmp_path / "a", images, numbers(steps=11))
    steps = [int(line.split("\t")[0]) for line in outputs["loss"].read_text().splitlines()[1:]]
    assert steps == [2, 5, 8, 11]


def test_an_odd_resolution_is_refused_before_training(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", train=8, heldout=0, side=9)
    with pytest.raises(ValueError, match=r"prepare.resolution = 9"):
        run(tmp_path / "a", images, numbers())
