"""Pretrained autoencoders of many shapes: the same latents and images as the model as it was."""

import shutil
from pathlib import Path
from typing import Any

import foreign
import numpy as np
import pytest
import torch

from lirf import params
from lirf.autoencoder import kinds, layout, pretrained
from lirf.autoencoder import model as ae
from lirf.autoencoder.frame import Frame, in_channels

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
DEFAULT = params.load(Path(__file__).parents[3] / "params.yaml").autoencoder


def chosen(name: Path | str, **changes: Any) -> params.Autoencoder:
    return DEFAULT.model_copy(update={"pretrained": str(name), **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    foreign.make().save_pretrained(tmp_path / "others")
    return tmp_path / "others"


def test_the_one_that_ships_is_found_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    model = pretrained.load(chosen("start"), 3, 32).model
    assert (kinds.factor(model), kinds.latent_channels(model)) == (4, 4)
    assert pretrained.name("start") == "start"
    size = (pretrained.SHIPPED / layout.WEIGHTS).stat().st_size
    assert size < 2 * 2**20


def test_a_damaged_one_is_not_begun_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(pretrained.SHIPPED, tmp_path / "start")
    with (tmp_path / "start" / layout.WEIGHTS).open("ab") as stream:
        stream.write(b"0")
    monkeypatch.setattr(pretrained, "SHIPPED", tmp_path / "start")
    with pytest.raises(ValueError, match=r"pretrained = start: .*damaged; `git checkout"):
        pretrained.load(chosen("start"), 3, 32)


@pytest.mark.parametrize(("latent", "levels"), [(1, 1), (4, 4), (16, 2), (32, 5)])
def test_any_latent_channels_and_factor(tmp_path: Path, latent: int, levels: int) -> None:
    theirs = foreign.make(latent=latent, levels=levels)
    theirs.save_pretrained(tmp_path / "others")
    ours = pretrained.load(chosen(tmp_path / "others"), 3, 16)
    latents, images = foreign.round_trip(theirs, ae.pixels_to_signal(foreign.pictures(3)))
    found = ae.encode(ours, foreign.pictures(3), 3, CPU)
    assert found.shape == (3, latent, *(16 // 2 ** (levels - 1),) * 2)
    np.testing.assert_array_equal(found, latents.numpy())
    drawn = ae.round_trip(ours, foreign.pictures(3), 3, CPU).astype(int)
    np.testing.assert_allclose(drawn, ae.signal_to_pixels(images), atol=1)


@pytest.mark.parametrize("name", foreign.NAMES)
def test_grey_images_in_an_autoencoder_for_rgb(name: str, tmp_path: Path) -> None:
    theirs = foreign.make(name)
    theirs.save_pretrained(tmp_path / "others")
    ours = pretrained.load(chosen(tmp_path / "others"), 1, 16)
    grey_N1HW = foreign.pictures(1)
    latents, colour = foreign.round_trip(
        theirs, ae.pixels_to_signal(grey_N1HW).expand(-1, 3, -1, -1)
    )
    np.testing.assert_array_equal(ae.encode(ours, grey_N1HW, 3, CPU), latents.numpy())
    expected = ae.signal_to_pixels(in_channels(colour, 1))
    drawn = ae.round_trip(ours, grey_N1HW, 3, CPU).astype(int)
    np.testing.assert_allclose(drawn, expected, atol=1)


@pytest.mark.parametrize("name", foreign.NAMES)
def test_an_enlarged_image_has_a_larger_latent_and_comes_back_as_large(
    name: str, tmp_path: Path
) -> None:
    theirs = foreign.make(name)
    theirs.save_pretrained(tmp_path / "others")
    ours = pretrained.load(chosen(tmp_path / "others", enlarge=2), 3, 16)
    assert ours.frame == Frame(3, 2)
    images = foreign.pictures(3)
    assert ae.encode(ours, images, 3, CPU).shape[2:] == (16, 16)
    assert ae.round_trip(ours, images, 3, CPU).shape == images.shape


def test_what_is_kept_has_no_trace_of_the_folder(folder: Path, tmp_path: Path) -> None:
    model = pretrained.load(chosen(folder), 3, 16)
    (tmp_path / "moved").mkdir()
    again = folder.rename(tmp_path / "moved" / "elsewhere")
    fingerprints = [
        ae.save(one, tmp_path / name)
        for name, one in {"a": model, "b": pretrained.load(chosen(again), 3, 16)}.items()
    ]
    assert fingerprints[0] == fingerprints[1]
    assert str(tmp_path) not in (tmp_path / "a" / layout.CONFIG).read_text()
    ae.load(tmp_path / "a", CPU)


def test_a_pipeline_has_it_in_a_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    folder.rename(tmp_path / "pipeline" / "vae")
    assert pretrained.find(chosen(tmp_path / "pipeline")) == tmp_path / "pipeline" / "vae"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        (
            "nowhere",
            r": neither there nor an id of a hub, owner/name; name a folder that .*safetensors$",
        ),
        ("someone/something", r"not in the hub's cache; name a folder.*autoencoder.download: true"),
    ],
)
def test_what_is_not_there_is_said_with_the_remedy(
    name: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=rf"^autoencoder.pretrained = {name}.*{remedy}"):
        pretrained.load(chosen(name), 3, 16)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no config.json in it, nor in vae/"):
        pretrained.load(chosen(tmp_path), 3, 16)


def test_a_resolution_that_cannot_be_shrunk_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^prepare.resolution = 15: not divisible by 2, by which"):
        pretrained.load(chosen(folder), 3, 15)
    assert pretrained.load(chosen(folder, enlarge=2), 3, 15).frame == Frame(3, 2)
    foreign.make(levels=4).save_pretrained(tmp_path / "deep")
    with pytest.raises(ValueError, match=r"^prepare.resolution = 15, enlarged 2 times: not .* 8"):
        pretrained.load(chosen(tmp_path / "deep", enlarge=2), 3, 15)


def test_rgb_images_in_an_autoencoder_for_grey_are_refused(tmp_path: Path) -> None:
    foreign.make(channels=1).save_pretrained(tmp_path / "grey")
    with pytest.raises(
        ValueError,
        match=r"^autoencoder.pretrained = .*grey: takes images of 1 channels and makes ones of 1,"
        r" these have 3; take another, or change prepare.colour",
    ):
        pretrained.load(chosen(tmp_path / "grey"), 3, 16)


def test_the_name_of_a_folder_says_nothing_of_those_above(folder: Path) -> None:
    assert pretrained.name(str(folder)) == "others"
    assert pretrained.name("someone/something") == "someone/something"
