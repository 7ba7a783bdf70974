"""A published model is read whole or refused in one line."""

import json
import shutil
from pathlib import Path

import published
import pytest
import torch

from lirf.publish import export, exported
from lirf.store import files

CPU = torch.device("cpu")


def test_no_model_in_a_folder_is_said(tmp_path: Path):
    with pytest.raises(ValueError, match=r"^\S+: there is no published model in it; `dvc repro"):
        exported.load(tmp_path, CPU)


def test_a_model_of_another_version_is_refused(copy: Path):
    document = json.loads((copy / "provenance.json").read_text())
    (copy / "provenance.json").write_text(json.dumps({**document, "format": 2}))
    with pytest.raises(ValueError, match=r"model: a model of format 2, this version reads 1; "):
        exported.load(copy, CPU)


@pytest.mark.parametrize(
    "name",
    [
        "network/config.json",
        "network/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ],
)
def test_a_damaged_or_missing_file_is_named(copy: Path, name: str):
    content = bytearray((copy / name).read_bytes())
    content[-3] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"^\S*model/(vae: fingerprint|\S+: damaged)"):
        exported.load(copy, CPU)
    (copy / name).unlink()
    with pytest.raises(ValueError, match=f"{name}: missing"):
        exported.load(copy, CPU)


def test_weights_of_another_network_are_refused(trained_rgb, copy: Path, tmp_path: Path):
    other = published.write(trained_rgb, tmp_path / "other")
    name = "network/diffusion_pytorch_model.safetensors"
    shutil.copy(other / name, copy / name)
    export.seal(copy, json.loads((copy / "provenance.json").read_text()))
    with pytest.raises(ValueError, match="the model in it is damaged"):
        exported.load(copy, CPU)


def test_an_autoencoder_that_the_model_is_not_of_is_refused(trained_rgb, copy: Path):
    shutil.rmtree(copy / "vae")
    shutil.copytree(trained_rgb.autoencoder, copy / "vae")
    with pytest.raises(ValueError, match="vae: not the autoencoder that the model is of"):
        exported.load(copy, CPU)


@pytest.mark.parametrize("change", [{"solver": "rk9"}, {"steps": 0}, {"steps": "many"}])
def test_a_solver_that_cannot_be_is_refused(copy: Path, change: dict[str, object]):
    path = copy / "scheduler" / "scheduler_config.json"
    files.write_json(path, files.read_json(path) | change)
    export.seal(copy, json.loads((copy / "provenance.json").read_text()))
    with pytest.raises(ValueError, match="model: the model in it is damaged; publish it again"):
        exported.load(copy, CPU)


def test_what_images_went_through_is_read_or_missed(trained, copy: Path):
    assert exported.read_prepare(copy) == trained.params.prepare
    export.seal(copy, {"params": {}})
    with pytest.raises(ValueError, match=r"provenance\.json: damaged; publish the model again"):
        exported.read_prepare(copy)
