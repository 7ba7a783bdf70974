"""Evaluation of a tiny model: what is measured, against what, and that it is said."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from lirf import params as settings
from lirf.autoencoder import model as autoencoding
from lirf.features import features
from lirf.images import transforms
from lirf.measure import evaluation, memorised
from lirf.measure.sharpness import sharpness
from lirf.params import Params
from lirf.report import pictures
from lirf.sampling import mixup, seeds
from lirf.store import banks, files, parts
from stages.encode import encode
from stages.evaluate import evaluate
from stages.initialize import initialize
from stages.support.command import Out

ROOT = Path(__file__).parents[2]
SIDE, TRAIN, HELDOUT, SAMPLES = 8, 12, 20, 110


def tiny(**evaluate_with: object) -> Params:
    """Return the project's own params, made small."""
    params = settings.load(ROOT / "params.yaml")
    changes = {
        "device": "cpu",
        "autoencoder": {"widths": (4, 4), "latent_channels": 2},
        "initialize": {
            "network": settings.Transformer(kind="transformer", patch=2, width=8, depth=1, heads=1),
        },
        "sample": {"solver": "euler", "steps": 2, "batch": 50},
        "evaluate": {"samples": SAMPLES, "neighbours": 3, "features": "pixels", **evaluate_with},
    }
    return params.model_copy(
        update={
            name: value
            if isinstance(value, str)
            else getattr(params, name).model_copy(update=value)
            for name, value in changes.items()
        }
    )


def write_images(folder: Path, heldout: int, flip: bool, separate: bool = False) -> None:
    """Write an images part of noise as `prepare` would; `separate`: mirror images are originals."""
    generator = np.random.default_rng(0)
    train = generator.integers(0, 256, (TRAIN, 1, SIDE, SIDE), np.uint8)
    rest = generator.integers(0, 256, (heldout, 1, SIDE, SIDE), np.uint8)
    rows = [{"id": f"train-{i:05d}", "split": "train", "flip": False} for i in range(TRAIN)]
    array = list(train)
    if flip:
        array = [version for image in train for version in (image, image[..., ::-1])]
        flips = (False, False) if separate else (False, True)
        rows = [{**row, "flip": mirrored} for row in rows for mirrored in flips]
    rows += [{"id": f"heldout-{i:05d}", "split": "heldout", "flip": False} for i in range(heldout)]
    rows = [{**row, "source": f"{i}.png"} for i, row in enumerate(rows)]
    parts.write(folder, np.stack([*array, *rest]), pa.Table.from_pylist(rows), {"resolution": SIDE})


def make_inputs(folder: Path, heldout: int = HELDOUT, **mirrored: bool) -> dict[str, Path]:
    """Return images, an untrained autoencoder and untrained weights, as the stages write them."""
    params = tiny()
    paths = {name: folder / name for name in ("images", "autoencoder", "bank", "weights")}
    write_images(paths["images"], heldout, **{"flip": False, **mirrored})
    paths["autoencoder"].mkdir()
    autoencoding.save(autoencoding.build(params.autoencoder, 1, SIDE), paths["autoencoder"])
    outputs = (Out(paths["bank"]), Out(folder / "heldout"), Out(folder / "augmented"))
    with contextlib.chdir(folder):  # where its scratch goes
        encode(params, paths["images"], paths["autoencoder"], *outputs)
    initialize(params, paths["bank"], Out(paths["weights"]))
    return paths


def run(params: Params, inputs: dict[str, Path], folder: Path, name: str = "r01"):
    folder.mkdir()
    out = {
        key: Out(folder / f".{key}.partial") for key in ("metrics", "samples", "grid", "nearest")
    }
    evaluate(params, run=name, **inputs, **out)
    return json.loads(out["metrics"].read_text()), out


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def made(inputs, tmp_path_factory):
    return run(tiny(), inputs, tmp_path_factory.mktemp("made") / "out")


def test_every_metric_is_there(made):
    found = made[0]
    for name in ("memorised", "precision", "recall", "coverage"):
        assert 0 <= found[name] <= 1
    assert found["density"] >= 0
    assert 1 <= found["vendi"] <= SAMPLES


def test_the_protocol_is_in_the_row(made, inputs):
    fingerprint = json.loads((inputs["autoencoder"] / "fingerprint.json").read_text())
    expected = {
        "n_fake": SAMPLES, "n_train": TRAIN, "n_reference": HELDOUT, "reference": "heldout",
        "flip": False, "features": "pixels", "feature_hash": None, "neighbours": 3,
        "resolution": SIDE, "resize": "lanczos", "solver": "euler", "solver_steps": 2,
        "atol": None, "rtol": None, "seed": 1, "train_steps": 0,
        "autoencoder": fingerprint["fingerprint"], "generator": "network", "mixup_neighbours": None,
    }  # fmt: skip
    assert {key: made[0][key] for key in expected} == expected


def test_a_frechet_distance_to_few_images_is_refused(made):
    assert made[0]["frechet"] is None
    assert f"{HELDOUT} reference images" in made[0]["frechet_reason"]


def test_the_same_inputs_give_the_same_bytes(made, inputs, tmp_path):
    _, again = run(tiny(), inputs, tmp_path / "out")
    for key, path in made[1].items():
        if key == "samples":
            assert files.checksums(path) == files.checksums(again[key])
        else:
            assert path.read_bytes() == again[key].read_bytes(), key


def test_the_first_samples_are_kept_with_what_they_are_nearest_to(made, inputs):
    part, known = parts.read(made[1]["samples"]), parts.read(inputs["images"])
    rows, ids = part.rows.to_pylist(), known.rows["id"].to_pylist()
    assert part.array.shape == (64, 1, SIDE, SIDE)
    assert [row["seed"] for row in rows] == seeds.seeds(1, "evaluate", 64)
    decoder = autoencoding.load(inputs["autoencoder"], torch.device("cpu"))
    space = banks.read(inputs["bank"]).space
    for sample, row in zip(part.array, rows, strict=True):
        assert row["distance"] == sorted(row["distance"])
        assert row["ratio"] == pytest.approx(row["distance"][0] / row["distance"][1], abs=1e-5)
        assert row["memorised"] == (row["ratio"] < memorised.MEMORISED_RATIO)
        image = known.array[ids.index(row["nearest"][0])][None]
        image = transforms.mirror(image) if row["mirrored"][0] else image
        raw = autoencoding.encode(decoder, image, 1, torch.device("cpu"))
        back = autoencoding.decode(decoder, space.scale(raw), space, 1, torch.device("cpu"))
        versions = np.concatenate([image, back]) / 255
        apart = np.sqrt(((sample / 255 - versions) ** 2).sum(axis=(1, 2, 3))).min()
        assert row["distance"][0] == pytest.approx(
            apart, abs=0.02
        )  # batches decode alike, but for rounding


def test_models_are_compared_on_the_same_noise(made, inputs, tmp_path):
    found, _ = run(tiny(), inputs, tmp_path / "out", name="baseline")
    assert found == made[0]


def test_another_seed_is_another_sample(made, inputs, tmp_path):
    found, _ = run(tiny(seed=2), inputs, tmp_path / "out")
    assert found["seed"] == 2
    assert found["vendi"] != made[0]["vendi"]


NO_NETWORK = {"solver": None, "solver_steps": None, "atol": None, "rtol": None, "train_steps": None}


def test_memory_is_the_training_images_after_the_round_trip(inputs, tmp_path):
    params = tiny(generator="memory")
    found, _ = run(params, inputs, tmp_path / "out")
    cpu, bank = torch.device("cpu"), banks.read(inputs["bank"])
    decoder = autoencoding.load(inputs["autoencoder"], cpu)
    images = parts.read(inputs["images"]).array
    drawn = mixup.memory(bank.latents, seeds.seeds(1, "evaluate", SAMPLES))
    batch = params.sample.batch or 1  # another one may round a pixel otherwise
    pixels = features.of("pixels")
    expected, _ = evaluation.compare(
        pixels.extract(autoencoding.decode(decoder, drawn, bank.space, batch, cpu)),
        pixels.extract(images[TRAIN:]),
        np.stack(
            [pixels.extract(images[:TRAIN]), pixels.extract(transforms.mirror(images[:TRAIN]))]
        ),
        3,
    )
    for key in ("precision", "coverage", "density", "vendi"):
        assert found[key] == pytest.approx(expected[key], abs=1e-5)
    assert found["vendi"] < TRAIN
    # This autoencoder is untrained: what it makes of a training image counts as that image.
    assert expected["memorised"] != 1
    assert found["memorised"] == 1
    assert {key: found[key] for key in NO_NETWORK} == NO_NETWORK
    assert (found["generator"], found["mixup_neighbours"]) == ("memory", None)


def test_mixup_lies_between_and_is_the_same_for_every_model(inputs, tmp_path):
    params = tiny(generator="mixup", mixup_neighbours=2)
    found, _ = run(params, inputs, tmp_path / "out")
    assert {key: found[key] for key in NO_NETWORK} == NO_NETWORK
    assert (found["generator"], found["mixup_neighbours"]) == ("mixup", 2)
    again, _ = run(params, inputs, tmp_path / "again", name="baseline")
    assert again == found
    wider, _ = run(tiny(generator="mixup", mixup_neighbours=9), inputs, tmp_path / "wider")
    assert wider["vendi"] != found["vendi"]


def test_a_bank_of_another_space_is_refused(inputs, tmp_path):
    known = banks.read(inputs["bank"])
    space = replace(known.space, autoencoder="beef")
    banks.write(tmp_path / "bank", "r00", known.latents, known.rows, space)
    with pytest.raises(ValueError, match=r"bank: latents of another space: autoencoder is beef"):
        run(tiny(), {**inputs, "bank": tmp_path / "bank"}, tmp_path / "out")


def test_held_out_images_stand_beside_the_samples(made, inputs):
    found, known = made[0], parts.read(inputs["images"]).array
    assert found["memorised_heldout"] == 0
    assert found["sharpness_heldout"] == pytest.approx(sharpness(known[TRAIN:]), abs=1e-6)
    assert 0 < found["sharpness"] != found["sharpness_heldout"]
    assert found["memorised_pixels"] is None, "the features are pixels"


def test_what_is_memorised_in_pixels_stands_beside_other_features(made, inputs, tmp_path):
    found, _ = run(tiny(features="latents"), inputs, tmp_path / "out")
    assert found["memorised_pixels"] == made[0]["memorised"]
    assert found["memorised_pixels_heldout"] == made[0]["memorised_heldout"]


def test_features_of_a_vision_transformer_are_those_of_its_weights(inputs, tmp_path):
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "vit.safetensors")
    params = tiny(features="vision")
    update = {"model": "test_vit", "weights": str(tmp_path / "vit.safetensors"), "resolution": 32}
    vision = params.autoencoder.vision.model_copy(update=update)
    section = params.autoencoder.model_copy(update={"vision": vision})
    found, _ = run(params.model_copy(update={"autoencoder": section}), inputs, tmp_path / "out")
    assert found["features"] == "patches"
    assert found["feature_hash"] == files.sha256(tmp_path / "vit.safetensors")
    assert found["memorised_pixels"] is not None


def test_features_that_cannot_be_had_are_named_before_anything_is_drawn(
    inputs, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(ValueError, match=r"^evaluate.features = inception: .*: missing; put"):
        run(tiny(features="inception"), {**inputs, "weights": tmp_path / "none"}, tmp_path / "out")


def test_latents_as_features_carry_the_autoencoders_hash(made, inputs, tmp_path):
    found, _ = run(tiny(features="latents"), inputs, tmp_path / "out")
    assert (found["features"], found["feature_hash"]) == ("latents", made[0]["autoencoder"])
    assert found["vendi"] != made[0]["vendi"]


@pytest.mark.parametrize(("heldout", "reference"), [(0, "train"), (3, "train"), (4, "heldout")])
def test_without_enough_held_out_images_the_reference_is_stated(
    tmp_path, capsys, heldout, reference
):
    found, _ = run(tiny(), make_inputs(tmp_path, heldout=heldout), tmp_path / "out")
    assert found["reference"] == reference
    assert found["n_reference"] == (TRAIN if reference == "train" else heldout)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == (reference == "train")


def test_mirror_images_are_training_images_in_another_version(tmp_path):
    found, _ = run(tiny(), make_inputs(tmp_path, heldout=0, flip=True), tmp_path / "out")
    assert found["flip"] is True
    assert found["n_train"] == TRAIN
    assert found["n_reference"] == 2 * TRAIN


def test_the_nearest_image_is_shown_as_it_is_nearest_mirrored_or_not(tmp_path):
    # The nearest of 12 images in two versions is the nearest of the 24 versions.
    left = pictures.MARGIN + (48 + 2 * pictures.GAP) + pictures.MARGIN + pictures.GAP
    columns = []
    for separate in (False, True):
        folder = tmp_path / str(separate)
        folder.mkdir()
        inputs = make_inputs(folder, flip=True, separate=separate)
        found, out = run(tiny(), inputs, folder / "out")
        assert found["memorised"] == 0, "a frame would disturb"
        assert found["n_train"] == TRAIN * (1 + separate)
        with Image.open(out["nearest"]) as image:
            columns.append(np.asarray(image)[100:, left : left + 48])  # below the caption
    np.testing.assert_array_equal(*columns)


@pytest.mark.parametrize("key", ["grid", "nearest"])
def test_pictures_are_pngs_with_something_in_them(made, key):
    with Image.open(made[1][key]) as image:
        assert image.format == "PNG"
        assert image.width > 6 * 48
        assert len(np.unique(np.asarray(image))) > 50
