"""The published folder: complete, the same bytes every time, and no word of where images lay."""

import json
import shutil
from pathlib import Path

import pytest

from lirf.publish import card, export
from lirf.store import files
from stages.publish import publish
from stages.support.command import Out


def run(trained, folder: Path, params=None, metrics: Path | None = None) -> Path:
    publish(
        params or trained.params,
        trained.weights,
        trained.autoencoder,
        trained.bank,
        trained.images,
        metrics or trained.metrics,
        trained.samples,
        Out(folder),
    )
    return folder


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(trained, tmp_path_factory.mktemp("published") / "model")


def test_the_folder_has_all_that_a_pipeline_needs(model: Path):
    assert set(files.checksums(model)) == {
        "README.md", "model_index.json", "provenance.json", "samples.png", "pipeline.py",
        *(f"network/{name}.py" for name in export.code("lirf.publish.velocity")),
        *(f"scheduler/{name}.py" for name in export.code("lirf.publish.scheduler")),
        "network/config.json", "network/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json", "vae/config.json", "vae/fingerprint.json",
        "vae/diffusion_pytorch_model.safetensors",
    }  # fmt: skip


def test_the_same_inputs_give_the_same_bytes(trained, model: Path, tmp_path: Path):
    assert files.checksums(run(trained, tmp_path / "again")) == files.checksums(model)


def test_provenance_tells_params_inputs_environment_and_latents(trained, model: Path):
    found = json.loads((model / "provenance.json").read_text())
    assert found["params"]["train"]["learning_rate"] == trained.params.train.learning_rate
    assert found["params"]["rounds"]["r01"]["lambda"] == trained.params.rounds["r01"].lambda_
    assert not {"device", "memory", "page"} & found["params"].keys()
    assert found["latents"] == {"real": 12, "admitted": dict.fromkeys(trained.params.rounds, 0)}
    assert found["train_steps"] == 12
    assert {"python", "torch", "diffusers", "lirf"} <= set(found["environment"])
    del found["files"]["README.md"]
    assert found["files"].items() <= files.checksums(model).items()


def test_inputs_have_the_hashes_of_the_lock_file(trained, model: Path):
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem
    from dvc_objects.fs.memory import MemoryFileSystem

    inputs = json.loads((model / "provenance.json").read_text())["inputs"]
    for path in (trained.weights, trained.bank, trained.metrics / "prepare.json"):
        odb = HashFileDB(MemoryFileSystem(), "/cache")
        _, _, found = build(odb, str(path), LocalFileSystem(), "md5", dry_run=True)
        assert inputs[path.as_posix()] == found.hash_info.value


def test_the_card_names_the_folder_of_images_and_not_the_way_to_it(trained, model: Path):
    text = (model / "README.md").read_text()
    assert "# lirf-photos\n" in text
    assert "The folder `photos`: 12 images" in text
    assert card.SAMPLES in text
    assert "1.2% of 70 samples" in text
    assert json.loads((model / "provenance.json").read_text())["params"]["prepare"]["images"] == (
        "photos"
    )


def test_the_card_takes_name_licence_and_description_from_the_params(trained, tmp_path: Path):
    words = {"name": "blots", "licence": "cc0-1.0", "description": "Blots of ink"}
    section = trained.params.publish.model_copy(update=words)
    params = trained.params.model_copy(update={"publish": section})
    text = (run(trained, tmp_path / "model", params) / "README.md").read_text()
    for said in ("# blots\n", "license: cc0-1.0\n", "Blots of ink: 12 images"):
        assert said in text


def test_without_a_baseline_the_card_tells_of_the_loop_alone(trained, tmp_path: Path):
    models = {name: one for name, one in trained.params.models.items() if one.role == "loop"}
    params = trained.params.model_copy(update={"models": models})
    metrics = shutil.copytree(trained.metrics, tmp_path / "metrics")
    for path in metrics.rglob("baseline.json"):
        path.unlink()
    model = run(trained, tmp_path / "model", params, metrics)
    text = (model / "README.md").read_text()
    assert "| this model | 0.012 |" in text
    assert "baseline" not in text
    inputs = json.loads((model / "provenance.json").read_text())["inputs"]
    assert not [path for path in inputs if Path(path).stem == "baseline"]


def test_a_missing_result_is_named(trained, tmp_path: Path):
    (tmp_path / "metrics").mkdir()
    with pytest.raises(ValueError, match=r"metrics/prepare.json: missing; "):
        publish(
            trained.params, trained.weights, trained.autoencoder, trained.bank, trained.images,
            tmp_path / "metrics", trained.samples, Out(tmp_path / "model"),
        )  # fmt: skip
    assert not (tmp_path / "model").exists()


def test_a_pretrained_autoencoder_is_named_but_not_where_it_lay(trained, tmp_path: Path):
    before = trained.params.autoencoder
    vision = before.vision.model_copy(update={"weights": str(tmp_path / "vit.safetensors")})
    changes = {"pretrained": str(tmp_path / "theirs"), "vision": vision}
    section = before.model_copy(update=changes)
    params = trained.params.model_copy(update={"autoencoder": section})
    model = run(trained, tmp_path / "model", params)
    found = json.loads((model / "provenance.json").read_text())
    assert found["params"]["autoencoder"]["pretrained"] == "theirs"
    assert found["params"]["autoencoder"]["vision"]["weights"] == "vit.safetensors"
    assert "`theirs`, which others made" in (model / "README.md").read_text()
    for path in ("provenance.json", "README.md"):
        assert str(tmp_path) not in (model / path).read_text()
