"""The stage `autoencoder`: its outputs, with and without held-out images."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import foreign
import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lirf import params
from lirf.autoencoder import layout, training
from lirf.autoencoder import model as ae
from lirf.autoencoder.frame import Frame
from lirf.params import Params
from lirf.store import files, parts
from stages.autoencoder import autoencoder
from stages.support import command
from stages.support.command import Out

pytestmark = pytest.mark.usefixtures("one_thread")

OUTPUTS = {
    "model": "autoencoder",
    "metrics": "autoencoder.json",
    "reconstructions": "reconstructions.png",
    "strips": "strips.png",
    "loss": "loss.tsv",
}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


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
    rows = pa.table({"id": ids, "split": split, "source": ids})
    parts.write(folder, images, rows, {"colour": "grey", "resolution": side})
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
    assert metrics["psnr_gap"] == metrics["psnr_train"] - metrics["psnr_heldout"]
    assert metrics["features"] == "edges"
    assert metrics["feature_distance_heldout"] > 0
    assert 12 * 4 / 2 <= metrics["n_midpoints"] <= 12 * 4
    assert metrics["midpoint_distance"] > 0
    assert metrics["midpoint_frechet"] is None  # of fewer than a hundred images
    flat = (str, int, float, type(None))
    assert all(isinstance(value, flat) for value in metrics.values()), "flat"
    loaded = ae.load(outputs["model"], torch.device("cpu"))
    assert metrics["fingerprint"] == loaded.fingerprint
    lines = outputs["loss"].read_text().splitlines()
    assert lines[0] == "step\treconstruction\tkl\tmanifold"
    assert [int(line.split("\t")[0]) for line in lines[1:]] == list(range(1, 13))
    for name in ("reconstructions", "strips"):
        with Image.open(outputs[name]) as picture:
            assert picture.format == "PNG"


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", train=12, heldout=3)
    first = run(tmp_path / "a", images, numbers(steps=3))
    shutil.rmtree(".scratch")
    second = run(tmp_path / "b", images, numbers(steps=3))
    for name in ("metrics", "reconstructions", "strips", "loss"):
        assert first[name].read_bytes() == second[name].read_bytes(), name


def test_without_held_out_images_their_metrics_are_absent(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", train=8, heldout=0, channels=3)
    outputs = run(tmp_path / "a", images, numbers(steps=2))
    metrics = json.loads(outputs["metrics"].read_text())
    assert metrics["n_heldout"] == 0
    assert not [name for name in metrics if name.endswith("_heldout") and name != "n_heldout"]
    assert outputs["reconstructions"].is_file()


def test_an_odd_resolution_is_refused_before_training(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", train=8, heldout=0, side=9)
    with pytest.raises(ValueError, match=r"prepare.resolution = 9"):
        run(tmp_path / "a", images, numbers())


def test_a_pretrained_autoencoder_is_taken_as_it_is(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", train=12, heldout=5)
    trained = run(tmp_path / "a", images, numbers(steps=3))
    others = trained["model"].rename(tmp_path / "others")
    taken = run(tmp_path / "b", images, numbers(pretrained=str(others)))
    for name in (layout.WEIGHTS, layout.FINGERPRINT):
        assert (taken["model"] / name).read_bytes() == (others / name).read_bytes()
    before, after = (json.loads(one["metrics"].read_text()) for one in (trained, taken))
    assert after["pretrained"] == "others"
    shared = {name for name in before if not name.startswith("loss_")} - {"seed", "steps"}
    assert {name: after[name] for name in shared} == {name: before[name] for name in shared}
    assert taken["loss"].read_text() == "step\treconstruction\tkl\tmanifold\n"


@pytest.mark.parametrize("name", foreign.NAMES)
def test_any_pretrained_kind_is_fitted_to_grey_images_and_measured_before_and_after(
    tmp_path: Path, name: str
) -> None:
    images = write_images(tmp_path / "images", train=12, heldout=5)
    foreign.make(name).save_pretrained(tmp_path / "others")
    config = numbers(
        steps=25, pretrained=str(tmp_path / "others"), finetune="decoder", enlarge=2, holdout=0.25,
        learning_rate=3e-3,
    )  # fmt: skip
    outputs = run(tmp_path / "a", images, config)
    metrics = json.loads(outputs["metrics"].read_text())
    assert (metrics["pretrained"], metrics["finetune"]) == ("others", "decoder")
    assert metrics["latent_shape"] == "4x8x8"
    assert metrics["psnr_heldout"] > metrics["psnr_heldout_before"] + 0.1
    assert metrics["ssim_heldout"] != metrics["ssim_heldout_before"]
    assert metrics["loss_aside_best"] < metrics["loss_aside_before"]
    assert 0 < metrics["best_step"] <= 25
    header, *rows = outputs["loss"].read_text().splitlines()
    assert header.startswith("step\treconstruction\tkl\tmanifold")
    assert header.endswith("\taside")
    assert len(rows) == 25
    loaded = ae.load(outputs["model"], torch.device("cpu"))
    assert type(loaded.model).__name__ == name
    assert loaded.frame == Frame(1, 2)


def test_a_fit_by_lpips_is_also_measured_by_it(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", train=12, heldout=5, channels=3)
    foreign.make("AutoencoderTiny").save_pretrained(tmp_path / "others")
    weights = foreign.save_lpips(tmp_path / "lpips.safetensors")
    config = numbers(
        steps=12, pretrained=str(tmp_path / "others"), finetune="all", holdout=0.25,
        learning_rate=3e-3, feature_weight=1.0, perceptual="lpips", lpips=str(weights),
    )  # fmt: skip
    metrics = json.loads(run(tmp_path / "a", images, config)["metrics"].read_text())
    assert 0 < metrics["lpips_heldout"] < metrics["lpips_heldout_before"]
    assert metrics["loss_feature"] > 0
    assert metrics["loss_aside_best"] < metrics["loss_aside_before"]


def test_a_fit_by_imagenet_needs_no_weights_of_the_users(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", train=12, heldout=5)
    foreign.make("AutoencoderDC").save_pretrained(tmp_path / "others")
    config = numbers(
        steps=12, pretrained=str(tmp_path / "others"), finetune="decoder", holdout=0.25,
        learning_rate=3e-3, feature_weight=1.0, perceptual="imagenet",
    )  # fmt: skip
    metrics = json.loads(run(tmp_path / "a", images, config)["metrics"].read_text())
    assert metrics["loss_feature"] > 0
    assert metrics["loss_aside_best"] < metrics["loss_aside_before"]


def test_what_was_fitted_is_not_begun_again_unless_it_began_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_images(tmp_path / "images", train=12, heldout=0)
    others = tmp_path / "others"
    config = numbers(steps=3, pretrained=str(others), finetune="all", enlarge=2)
    for name, left in (("AutoencoderTiny", 3), ("AutoencoderTiny", 0), ("VQModel", 3)):
        foreign.make(name).save_pretrained(others)
        run(tmp_path / f"{name}-{left}", images, config)
        assert (
            f'"before": {3 - left}, "done": 3, "label": "autoencoder"' in capsys.readouterr().err
        ), name


def everything(outputs: dict[str, Out]) -> dict[str, bytes]:
    """Return the bytes of all outputs by name."""
    found = {name: path.read_bytes() for name, path in outputs.items() if name != "model"}
    return found | {path.name: path.read_bytes() for path in outputs["model"].iterdir()}


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.9}, {"holdout": 0.2, "ema_decay": 0.9}])
def test_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, float]
) -> None:
    images = write_images(tmp_path / "images", train=12, heldout=3)
    config = numbers(steps=11, checkpoint_every=4, **changes)
    whole = everything(run(tmp_path / "whole", images, config))
    shutil.rmtree(".scratch")
    for count in (2, 6):  # the first end is before any checkpoint, the second after one
        steps = training.train

        def killed(*arguments: Any, count: int = count, steps: Any = steps) -> Iterator[Any]:
            for losses in steps(*arguments):
                yield losses
                if arguments[0].step == count:
                    raise KeyboardInterrupt

        monkeypatch.setattr(training, "train", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / f"killed-{count}", images, config)
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path / "work")
    assert [path.name for path in Path(".scratch").rglob("step-*")] == ["step-000000004"]
    assert everything(run(tmp_path / "resumed", images, config)) == whole


def test_a_signal_leaves_a_checkpoint_of_the_step_that_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_images(tmp_path / "images", train=12, heldout=3)
    steps = training.train

    def signalled(*arguments: Any) -> Iterator[Any]:
        for losses in steps(*arguments):
            if arguments[0].step == 5:
                signal.raise_signal(signal.SIGTERM)
            yield losses

    monkeypatch.setattr(training, "train", signalled)
    with pytest.raises(command.Interrupted, match=r"^autoencoder: interrupted after 5 of 12 steps"):
        run(tmp_path / "a", images, numbers())
    assert [path.name for path in Path(".scratch").rglob("step-*")] == ["step-000000005"]
    assert not any(path.is_file() for path in (tmp_path / "a").rglob("*"))


def test_a_checkpoint_of_other_numbers_or_images_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_images(tmp_path / "images", train=12, heldout=0)
    others = write_images(tmp_path / "others", train=13, heldout=0)
    run(tmp_path / "a", images, numbers(steps=3))
    capsys.readouterr()
    for name, data, config in (
        ("b", images, numbers(steps=3, kl_weight=0.5)),
        ("c", others, numbers(steps=3)),
        ("d", images, numbers(steps=3)),
    ):
        run(tmp_path / name, data, config)
        assert '"before": 0, "done": 3, "label": "autoencoder"' in capsys.readouterr().err, name
    # What is only measured, or how often a checkpoint is written, trains nothing anew.
    middle = params.Midpoints(neighbours=1, features="pixels")
    run(tmp_path / "e", images, numbers(steps=3, midpoints=middle, checkpoint_every=1))
    assert '"before": 3, "done": 3, "label": "autoencoder"' in capsys.readouterr().err


def test_alignment_to_a_transformer_from_a_file(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    weights = tmp_path / "tiny.safetensors"
    save_file(timm.create_model("test_vit", num_classes=0).state_dict(), weights)
    seen = params.Vision(model="test_vit", weights=str(weights), resolution=32)
    middle = params.Midpoints(neighbours=2, features="vision")
    by_vision = params.Align(by="vision", weight=0.5, margin=0.5, width=8)
    images = write_images(tmp_path / "images", train=12, heldout=4, channels=3)
    config = numbers(
        steps=3, alignment="features", align=by_vision, feature_weight=0.1, perceptual="vision",
        vision=seen, midpoints=middle,
    )  # fmt: skip
    outputs = run(tmp_path / "a", images, config)
    metrics = json.loads(outputs["metrics"].read_text())
    assert metrics["features"] == "patches"
    assert metrics["feature_hash"] == files.sha256(weights)
    header, *_ = outputs["loss"].read_text().splitlines()
    assert header == "step\treconstruction\tkl\tmanifold\tfeature\talignment"
    assert metrics["loss_alignment"] > 0
    ae.load(outputs["model"], torch.device("cpu"))
    weights.unlink()
    with pytest.raises(ValueError, match=r"^autoencoder.vision.weights = .*: no such file"):
        run(tmp_path / "b", images, config)
