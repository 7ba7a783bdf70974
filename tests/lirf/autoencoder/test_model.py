"""The autoencoder on tiny sizes: training, files, fingerprint, round trip."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from lirf import params
from lirf.autoencoder import layout
from lirf.autoencoder import model as ae
from lirf.autoencoder.frame import Frame
from lirf.store.space import Space

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


def tiny(**changes: Any) -> params.Autoencoder:
    small = {"latent_channels": 2, "widths": (4, 8), **changes}
    return params.load(Path(__file__).parents[3] / "params.yaml").autoencoder.model_copy(
        update=small
    )


def pictures(count: int = 12, channels: int = 1, side: int = 8, seed: int = 0) -> np.ndarray:
    """Return smooth random pictures, uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, channels, side // 4, side // 4), dtype=np.uint8)
    return coarse.repeat(4, axis=2).repeat(4, axis=3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autoencoder") / "model"
    ae.save(ae.build(tiny(), 1, 8), folder)
    return folder


@pytest.fixture(scope="module")
def loaded(saved: Path) -> ae.Autoencoder:
    return ae.load(saved, CPU)


@pytest.mark.parametrize(
    ("widths", "channels", "side"), [((8,), 1, 8), ((4, 8), 3, 8), ((4, 8, 12), 1, 12)]
)
def test_every_further_width_halves_the_latent(
    widths: tuple[int, ...], channels: int, side: int
) -> None:
    built = ae.build(tiny(widths=widths), channels, side)
    images = np.zeros((2, channels, side, side), np.uint8)
    untrained = ae.Autoencoder(built.model.eval(), built.frame, "f" * 64)
    latents = ae.encode(untrained, images, 2, CPU)
    small = side // 2 ** (len(widths) - 1)
    assert latents.shape == (2, 2, small, small)
    space = Space("f" * 64, (2, small, small), (0.0, 0.0), (1.0, 1.0))
    decoded = ae.decode(untrained, latents, space, 2, CPU)
    assert decoded.shape == images.shape
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize(("widths", "side"), [((4, 8), 9), ((4, 8, 8), 10)])
def test_resolution_must_divide(widths: tuple[int, ...], side: int) -> None:
    with pytest.raises(ValueError, match=rf"^prepare.resolution = {side}: not divisible by"):
        ae.build(tiny(widths=widths), 1, side)


@pytest.mark.parametrize("widths", [(1,), (3, 5), (6, 9), (32, 48)])
def test_any_widths_can_be_normalised(widths: tuple[int, ...]) -> None:
    ae.build(tiny(widths=widths), 1, 8)


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    ae.build(tiny(), 1, 8)
    torch.testing.assert_close(torch.rand(4), expected, rtol=0, atol=0)


def test_same_seed_same_bytes_another_seed_others(tmp_path: Path) -> None:
    fingerprints = []
    for i, seed in enumerate([0, 0, 1]):
        torch.manual_seed(i)  # the global generator must not matter
        fingerprints.append(ae.save(ae.build(tiny(seed=seed), 1, 8), tmp_path / str(i)))
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
    for name in (layout.CONFIG, layout.WEIGHTS, layout.FINGERPRINT):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


def test_stock_diffusers_reads_the_folder(saved: Path, loaded: ae.Autoencoder) -> None:
    model = AutoencoderKL.from_pretrained(saved, local_files_only=True)
    assert model.config["scaling_factor"] == 1.0
    assert sorted(path.name for path in saved.iterdir()) == sorted(
        [layout.CONFIG, layout.WEIGHTS, layout.FINGERPRINT]
    )
    stock = ae.Framed(model.eval(), loaded.frame)
    latents, expected = (ae.encode(each, pictures(), 12, CPU) for each in (stock, loaded))
    np.testing.assert_array_equal(latents, expected)


def test_loading_returns_the_fingerprint_that_saving_wrote(
    saved: Path, loaded: ae.Autoencoder
) -> None:
    written = json.loads((saved / layout.FINGERPRINT).read_text())
    assert written == {"fingerprint": loaded.fingerprint}
    assert len(loaded.fingerprint) == 64


def test_the_frame_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    plain, twice = (ae.build(tiny(enlarge=enlarge), 1, 8) for enlarge in (1, 2))
    names = [
        ae.save(ae.Framed(plain.model, frame), tmp_path / str(i))
        for i, frame in enumerate((plain.frame, twice.frame))
    ]
    assert names[0] != names[1]
    loaded = ae.load(tmp_path / "1", CPU)
    assert (loaded.frame, loaded.fingerprint) == (Frame(1, 2), names[1])
    assert ae.encode(loaded, pictures(), 12, CPU).shape == (12, 2, 8, 8)
    assert ae.round_trip(loaded, pictures(), 12, CPU).shape == pictures().shape
    path = tmp_path / "1" / layout.FINGERPRINT
    path.write_text(path.read_text().replace('"enlarge": 2', '"enlarge": 4'))
    with pytest.raises(ValueError, match=r"1: fingerprint \w{12} is not \w{12}"):
        ae.load(tmp_path / "1", CPU)


def test_a_round_trip_is_encoding_and_decoding(loaded: ae.Autoencoder) -> None:
    raw = ae.encode(loaded, pictures(), 5, CPU)
    plain = Space(loaded.fingerprint, (2, 4, 4), (0.0, 0.0), (1.0, 1.0))
    expected = ae.decode(loaded, raw, plain, 5, CPU)
    np.testing.assert_array_equal(ae.round_trip(loaded, pictures(), 5, CPU), expected)


@pytest.mark.parametrize("name", [layout.CONFIG, layout.WEIGHTS])
def test_a_changed_file_is_refused(saved: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"model: fingerprint \w{12} is not \w{12}"):
        ae.load(folder, CPU)


@pytest.mark.parametrize("name", [layout.CONFIG, layout.WEIGHTS, layout.FINGERPRINT])
def test_a_missing_file_is_named(saved: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"{name}: missing"):
        ae.load(folder, CPU)


def test_the_batch_changes_nothing(loaded: ae.Autoencoder) -> None:
    images = pictures(count=7)
    images.flags.writeable = False
    whole = ae.encode(loaded, images, 7, CPU)
    for batch in (1, 3, 100):
        np.testing.assert_allclose(ae.encode(loaded, images, batch, CPU), whole, atol=1e-5)
    space = Space.measure(whole, loaded.fingerprint)
    z_NCHW = space.scale(whole)
    decoded = ae.decode(loaded, z_NCHW, space, 7, CPU)
    for batch in (1, 3, 100):
        other = ae.decode(loaded, z_NCHW, space, batch, CPU)
        np.testing.assert_allclose(other.astype(int), decoded.astype(int), atol=1)


def test_decoding_undoes_the_scaling(loaded: ae.Autoencoder) -> None:
    raw = ae.encode(loaded, pictures(), 12, CPU)
    space = Space(loaded.fingerprint, (2, 4, 4), (3.0, -2.0), (0.1, 10.0))
    plain = Space(loaded.fingerprint, (2, 4, 4), (0.0, 0.0), (1.0, 1.0))
    a = ae.decode(loaded, space.scale(raw), space, 12, CPU)
    b = ae.decode(loaded, raw, plain, 12, CPU)
    np.testing.assert_allclose(a.astype(int), b.astype(int), atol=1)
    wrong = ae.decode(loaded, space.scale(raw), plain, 12, CPU)
    assert np.abs(a.astype(int) - wrong).max() > 10


def test_latents_of_another_autoencoder_are_refused(loaded: ae.Autoencoder) -> None:
    foreign = Space("0" * 64, (2, 4, 4), (0.0, 0.0), (1.0, 1.0))
    with pytest.raises(ValueError, match=r"^the latents are of autoencoder 000000000000, not of"):
        ae.decode(loaded, np.zeros((1, 2, 4, 4), np.float32), foreign, 1, CPU)
