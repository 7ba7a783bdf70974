"""The stage `encode`: bank r00."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from lirf import params
from lirf.autoencoder import kinds, layout
from lirf.autoencoder import model as ae
from lirf.autoencoder.frame import Frame
from lirf.images import transforms
from lirf.params import Params
from lirf.sampling import seeds
from lirf.store import banks, parts
from stages.encode import encode
from stages.support.command import Out

SIDE = 8


def numbers(batch: int = 4, **augmentation: int) -> Params:
    whole = params.load(Path(__file__).parents[2] / "params.yaml")
    small = {"widths": (4, 8), "latent_channels": 2}
    return whole.model_copy(
        update={
            "device": "cpu",
            "autoencoder": whole.autoencoder.model_copy(update=small),
            "encode": whole.encode.model_copy(
                update={
                    "batch": batch,
                    "augmentation": whole.encode.augmentation.model_copy(update=augmentation),
                }
            ),
        }
    )


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "autoencoder"
    ae.save(ae.build(numbers().autoencoder, 1, SIDE), folder)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three training images, each followed by its mirror image, and two held-out ones."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, SIDE, SIDE), dtype=np.uint8)
    rows = []
    for i in range(3):
        facts = {"id": f"train-{i:05d}", "split": "train", "source": f"{i}.png", "flip": False}
        rows += [facts, {**facts, "id": facts["id"] + "-flip", "flip": True}]
    for i in range(2):
        name = f"heldout/{i}.png"
        rows.append({"id": f"heldout-{i:05d}", "split": "heldout", "source": name, "flip": False})
    train = np.stack([pixels[:3], pixels[:3, :, :, ::-1]], axis=1).reshape(6, 1, SIDE, SIDE)
    folder = tmp_path / "images"
    parts.write(folder, np.concatenate([train, pixels[3:]]), pa.Table.from_pylist(rows), {})
    return folder


def outs(folder: Path) -> tuple[Out, Out, Out]:
    return Out(folder / "bank"), Out(folder / "heldout"), Out(folder / "augmented")


def test_the_bank_holds_every_training_row(tmp_path: Path, images: Path, model: Path) -> None:
    encode(numbers(), images, model, *outs(tmp_path))
    bank = banks.read(tmp_path / "bank")
    rows = bank.rows.to_pylist()
    assert bank.rows.schema == banks.BANK_SCHEMA
    assert [(row["id"], row["source"], row["flip"]) for row in rows] == [
        (f"train-{i:05d}{suffix}", f"{i}.png", bool(suffix))
        for i in range(3)
        for suffix in ("", "-flip")
    ]
    assert {(row["round"], row["kind"], row["lambda"]) for row in rows} == {("r00", "real", None)}
    assert bank.latents.shape == (6, 2, 4, 4)
    assert bank.latents.dtype == np.float32


def test_latents_are_scaled_and_decode_where_they_came_from(
    tmp_path: Path, images: Path, model: Path
) -> None:
    encode(numbers(), images, model, *outs(tmp_path))
    bank = banks.read(tmp_path / "bank")
    np.testing.assert_allclose(bank.latents.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(bank.latents.std(axis=(0, 2, 3)), 1, atol=1e-5)
    cpu = torch.device("cpu")
    loaded = ae.load(model, cpu)
    assert bank.space.autoencoder == loaded.fingerprint
    raw = ae.encode(loaded, parts.read(images).array[:6], 6, cpu)
    np.testing.assert_allclose(bank.space.unscale(bank.latents), raw, atol=1e-5)


def test_held_out_latents_lie_in_the_space_of_the_bank(
    tmp_path: Path, images: Path, model: Path
) -> None:
    encode(numbers(), images, model, *outs(tmp_path))
    bank, heldout = banks.read(tmp_path / "bank"), banks.read_latents(tmp_path / "heldout")
    assert heldout.space == bank.space
    assert heldout.rows["id"].to_pylist() == ["heldout-00000", "heldout-00001"]
    cpu = torch.device("cpu")
    raw = ae.encode(ae.load(model, cpu), parts.read(images).array[6:], 2, cpu)
    np.testing.assert_allclose(heldout.latents, bank.space.scale(raw), atol=1e-5)


def test_there_may_be_no_held_out_image(tmp_path: Path, images: Path, model: Path) -> None:
    part = parts.read(images)
    parts.write(tmp_path / "train", part.array[:6], part.rows.slice(0, 6), part.attributes)
    encode(numbers(), tmp_path / "train", model, *outs(tmp_path))
    assert banks.read_latents(tmp_path / "heldout").latents.shape == (0, 2, 4, 4)


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, images: Path, model: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        outputs = outs(tmp_path / name)
        encode(numbers(views=2), images, model, *outputs)
    files = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert files
    for path in files:
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes(), path


def test_without_copies_the_augmented_part_is_empty(
    tmp_path: Path, images: Path, model: Path
) -> None:
    encode(numbers(views=0), images, model, *outs(tmp_path))
    versions = banks.read_latents(tmp_path / "augmented")
    assert versions.latents.shape == (0, 2, 4, 4)
    assert versions.rows.num_rows == 0
    assert versions.space == banks.read(tmp_path / "bank").space


def versions_of(folder: Path, images: Path, model: Path, **augmentation: int) -> banks.Bank:
    folder.mkdir()
    config = numbers(**augmentation)
    encode(config, images, model, *outs(folder))
    return banks.read_latents(folder / "augmented")


def test_every_training_row_gets_copies_and_the_bank_stays_as_it_is(
    tmp_path: Path, images: Path, model: Path
) -> None:
    versions = versions_of(tmp_path / "a", images, model, views=3)
    rows = versions.rows.to_pylist()
    ids = [f"train-{i:05d}{suffix}" for i in range(3) for suffix in ("", "-flip")]
    assert [row["image"] for row in rows] == [id_ for id_ in ids for _ in range(3)]
    assert len({row["id"] for row in rows}) == len({row["seed"] for row in rows}) == 18
    assert versions.latents.shape == (18, 2, 4, 4)
    # What is in the label is what was done: the latent is that of the image so transformed.
    part, loaded = parts.read(images), ae.load(model, torch.device("cpu"))
    strengths = numbers().encode.augmentation
    drawn = [transforms.draw(strengths, seeds.generator(row["seed"])) for row in rows]
    labels = np.array([[row[name] for name in transforms.LABELS] for row in rows])
    np.testing.assert_allclose(labels, [one.label() for one in drawn], atol=1e-6)
    pixels = transforms.apply(part.array[:6].repeat(3, axis=0), drawn)
    raw = ae.encode(loaded, pixels, 18, torch.device("cpu"))
    np.testing.assert_allclose(versions.space.unscale(versions.latents), raw, atol=1e-5)

    versions_of(tmp_path / "b", images, model, views=0)
    for path in (tmp_path / "a" / "bank").rglob("*"):
        other = tmp_path / "b" / "bank" / path.relative_to(tmp_path / "a" / "bank")
        assert path.is_dir() or path.read_bytes() == other.read_bytes()


def test_more_copies_keep_those_that_were_and_another_seed_does_not(
    tmp_path: Path, images: Path, model: Path
) -> None:
    few = versions_of(tmp_path / "few", images, model, views=1)
    many = versions_of(tmp_path / "many", images, model, views=3)
    other = versions_of(tmp_path / "other", images, model, views=1, seed=1)
    np.testing.assert_allclose(many.latents[::3], few.latents, atol=1e-5)
    assert many.rows["id"].to_pylist()[::3] == few.rows["id"].to_pylist()
    assert not set(few.rows["seed"].to_pylist()) & set(other.rows["seed"].to_pylist())


def test_versions_mirror_only_where_that_is_wanted(
    tmp_path: Path, images: Path, model: Path
) -> None:
    for flip in (False, True):
        versions = versions_of(tmp_path / str(flip), images, model, views=5, flip=flip)
        assert set(versions.rows["flip"].to_pylist()) == ({0.0, 1.0} if flip else {0.0})


def test_a_latent_that_is_not_finite_names_its_image(
    tmp_path: Path, images: Path, model: Path
) -> None:
    weights = load_file(model / layout.WEIGHTS)
    weights["encoder.conv_in.bias"][0] = float("nan")
    save_file(weights, model / layout.WEIGHTS)
    folder = tmp_path / "broken"
    ae.save(ae.Framed(kinds.read(model), Frame(1)), folder)
    with pytest.raises(ValueError, match=r"^the latent of train-00000 is not finite"):
        encode(numbers(), images, folder, *outs(tmp_path))
    assert not (tmp_path / "bank").exists()


def test_a_changed_autoencoder_is_refused(tmp_path: Path, images: Path, model: Path) -> None:
    (model / layout.CONFIG).write_text((model / layout.CONFIG).read_text() + "\n")
    with pytest.raises(ValueError, match=r"fingerprint"):
        encode(numbers(), images, model, *outs(tmp_path))


def content(folder: Path) -> dict[str, bytes]:
    parts = [folder / name for name in ("bank", "heldout", "augmented")]
    found = [path for part in parts for path in part.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_killed_run_goes_on_to_the_same_bytes_and_repeats_nothing(
    tmp_path: Path, images: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = numbers(batch=2, views=1)  # three lots, one and three
    for name in ("whole", "killed", "resumed"):
        (tmp_path / name).mkdir()
    encode(config, images, model, *outs(tmp_path / "whole"))
    shutil.rmtree(".scratch")
    encoded, done = ae.encode, []

    def killed(*arguments: Any) -> np.ndarray:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(encoded(*arguments))
        return done[-1]

    monkeypatch.setattr(ae, "encode", killed)
    with pytest.raises(KeyboardInterrupt):
        encode(config, images, model, *outs(tmp_path / "killed"))
    assert not content(tmp_path / "killed")
    (kept,) = Path(".scratch/encode").glob("*/heldout-000000000.npy")
    kept.write_bytes(kept.read_bytes()[:100])  # a disk that lost power
    done.clear()
    encode(config, images, model, *outs(tmp_path / "resumed"))
    assert [len(lot) for lot in done] == [2, 2, 2]  # that one, and the versions not yet there
    assert content(tmp_path / "resumed") == content(tmp_path / "whole")


def test_latents_of_other_numbers_or_another_autoencoder_are_not_reused(
    tmp_path: Path, images: Path, model: Path
) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    encode(numbers(), images, model, *outs(tmp_path / "a"))
    (first,) = Path(".scratch/encode").glob("*/")
    encode(numbers(batch=3), images, model, *outs(tmp_path / "b"))
    (second,) = Path(".scratch/encode").glob("*/")
    other = numbers().autoencoder.model_copy(update={"seed": 1})
    ae.save(ae.build(other, 1, SIDE), tmp_path / "other")
    encode(numbers(batch=3), images, tmp_path / "other", *outs(tmp_path / "c"))
    (third,) = Path(".scratch/encode").glob("*/")
    assert len({first.name, second.name, third.name}) == 3
