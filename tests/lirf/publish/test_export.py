"""A published model: loads where this project is not, draws the same images, whole or refused."""

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import foreign
import numpy as np
import published
import pytest
import torch

from lirf import processor
from lirf.autoencoder import model as ae
from lirf.autoencoder.frame import Frame
from lirf.publish import export, exported
from lirf.sampling import sampler
from lirf.store import files
from lirf.store.space import Space
from lirf.training import checkpoint
from lirf.training import state as states

CPU = torch.device("cpu")
SEEDS = [0, 17, 2**63 - 1, *range(100, 105)]
ELSEWHERE = """
import importlib.util, json, sys
assert importlib.util.find_spec("lirf") is None, "the project is not here"
import numpy as np
from diffusers import DiffusionPipeline
seeds, folders = json.loads(sys.argv[1]), sys.argv[2:]
for folder in folders:
    how = {"custom_pipeline": folder} if folder == folders[1] else {}
    pipeline = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True, **how)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(seeds=seeds)
    np.save(f"{folder}.npy", np.stack([np.asarray(image) for image in drawn.images]))
    more = pipeline(seeds=seeds, num_inference_steps=6, output_type="latent").images
    np.save(f"{folder}.latents.npy", more.numpy())
"""


def with_autoencoder(trained, name: str, folder: Path):
    """Return the grey model with another autoencoder for RGB, which sees images twice as large."""
    ae.save(ae.Framed(foreign.make(name), Frame(1, 2)), folder / "autoencoder")
    decoder = ae.load(folder / "autoencoder", CPU)
    raw_NCHW = ae.encode(decoder, foreign.pictures(1, 8), 3, CPU)
    space = Space.measure(raw_NCHW, decoder.fingerprint)
    state = states.initial(trained.params.initialize, space, CPU)
    with torch.no_grad():
        for weight in state.ema.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    checkpoint.save(state, folder / "weights")
    return replace(trained, autoencoder=folder / "autoencoder", weights=folder / "weights")


def own_latents(trained, **changes: int) -> np.ndarray:
    field, space = checkpoint.load_field(trained.weights, CPU)
    config = trained.params.sample.model_copy(update=changes)
    return torch.cat(list(sampler.sample(field, SEEDS, space.shape, config, CPU))).numpy()


def own_images(trained) -> np.ndarray:
    _, space = checkpoint.load_field(trained.weights, CPU)
    decoder = ae.load(trained.autoencoder, CPU)
    return ae.decode(decoder, own_latents(trained), space, 64, CPU)


@pytest.mark.slow
def test_diffusers_alone_draws_the_workflows_own_images(trained, trained_rgb, tmp_path: Path):
    others = [with_autoencoder(trained, name, tmp_path / name) for name in foreign.NAMES]
    models = {
        published.write(one, tmp_path / f"model{i}"): one
        for i, one in enumerate((trained, trained_rgb, *others))
    }
    done = subprocess.run(
        # Without `site` no .pth file of an editable installation leads back here.
        [sys.executable, "-S", "-P", "-c", ELSEWHERE, json.dumps(SEEDS), *map(str, models)],
        cwd=tmp_path,
        env={
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "1",
            # What bytes depend on: here it may be any number that an earlier test has left.
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
            **{name: os.environ[name] for name in processor.AVX2 if name in os.environ},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for folder, one in models.items():
        found = np.load(f"{folder}.npy").reshape(len(SEEDS), 8, 8, -1).transpose(0, 3, 1, 2)
        assert found.shape[1] == (3 if one is trained_rgb else 1)
        np.testing.assert_array_equal(found, own_images(one))
        assert len(np.unique(found, axis=0)) == len(SEEDS)
        np.testing.assert_array_equal(np.load(f"{folder}.latents.npy"), own_latents(one, steps=6))


def test_any_autoencoder_comes_back_with_how_images_meet_it(trained, tmp_path: Path):
    one = with_autoencoder(trained, "AutoencoderTiny", tmp_path)
    folder = published.write(one, tmp_path / "model")
    index = json.loads((folder / "model_index.json").read_text())
    assert index["vae"] == ["diffusers", "AutoencoderTiny"]
    assert (index["channels"], index["enlarge"]) == (1, 2)
    loaded = exported.load(folder, CPU)
    assert loaded.decoder.frame == Frame(1, 2)
    images = loaded.decoder.images(own_latents(one), loaded.space, 64, CPU)
    assert images.shape == (len(SEEDS), 1, 8, 8)
    np.testing.assert_array_equal(images, own_images(one))


def test_it_is_read_back_without_running_its_code(trained, copy: Path):
    (copy / "pipeline.py").write_text("raise RuntimeError")
    (copy / "README.md").write_text("my own words")
    loaded = exported.load(copy, CPU)
    assert loaded.space == checkpoint.read_document(trained.weights)["space"]
    assert exported.read_prepare(copy) == trained.params.prepare
    assert loaded.solver.solver == "heun"
    drawn = sampler.sample(loaded.field, SEEDS, loaded.space.shape, loaded.solver, CPU)
    z_BCHW = torch.cat(list(drawn)).numpy()
    np.testing.assert_array_equal(z_BCHW, own_latents(trained))
    images = loaded.decoder.images(z_BCHW, loaded.space, 64, CPU)
    np.testing.assert_array_equal(images, own_images(trained))


def test_the_same_model_gives_the_same_bytes(trained, model: Path, tmp_path: Path):
    again = published.write(trained, tmp_path / "again")
    assert files.checksums(again) == files.checksums(model)


def test_its_code_does_not_import_the_project(model: Path):
    sources = list(model.rglob("*.py"))
    carried = {path.stem for path in sources}
    assert {"lirf_networks_mlp", "lirf_objectives_rectified", "lirf_solvers_fixed"} <= carried
    for path in sources:
        assert not [
            line for line in path.read_text().splitlines() if "import" in line and "lirf." in line
        ]


def test_an_autoencoder_of_another_space_is_not_published(trained, trained_rgb, tmp_path: Path):
    with pytest.raises(ValueError, match=r"latents of autoencoder \w+, not of"):
        export.write(
            tmp_path / "model", trained.weights, trained_rgb.autoencoder, trained.params.sample
        )
    assert not (tmp_path / "model").exists()
