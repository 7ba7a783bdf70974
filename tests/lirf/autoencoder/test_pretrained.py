"""Pretrained autoencoders of many shapes: the same latents and images as the model as it was."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lirf import params
from lirf.autoencoder import model as ae
from lirf.autoencoder import pretrained

CPU = torch.device("cpu")
DEFAULT = params.load(Path(__file__).parents[3] / "params.yaml").autoencoder


def make(channels: int = 3, latent: int = 4, levels: int = 2) -> ae.AutoencoderKL:
    """Return an untrained model as others would make one, with noise in its biases."""
    torch.manual_seed(0)
    model = ae.AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * levels,  # pyright: ignore
        up_block_types=("UpDecoderBlock2D",) * levels,  # pyright: ignore
        block_out_channels=(8,) * levels,  # pyright: ignore
        norm_num_groups=4,
        latent_channels=latent,
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return model.eval()


def chosen(name: Path | str) -> params.Autoencoder:
    return DEFAULT.model_copy(update={"pretrained": str(name)})


def pictures(channels: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, channels, side, side), dtype=np.uint8)


@torch.no_grad()
def round_trip(model: ae.AutoencoderKL, x_NCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    z_NCHW = model.encode(x_NCHW).latent_dist.mean  # pyright: ignore[reportAttributeAccessIssue]
    return z_NCHW, model.decode(z_NCHW).sample  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make().save_pretrained(tmp_path / "others")
    return tmp_path / "others"


@pytest.mark.parametrize(("latent", "levels"), [(1, 1), (4, 4), (16, 2), (32, 5)])
def test_any_latent_channels_and_factor(tmp_path: Path, latent: int, levels: int) -> None:
    theirs = make(latent=latent, levels=levels)
    theirs.save_pretrained(tmp_path / "others")
    ours = pretrained.load(chosen(tmp_path / "others"), 3, 16)
    x_NCHW = ae.pixels_to_signal(pictures(3))
    for found, expected in zip(round_trip(ours, x_NCHW), round_trip(theirs, x_NCHW), strict=True):
        torch.testing.assert_close(found, expected)
    assert round_trip(ours, x_NCHW)[0].shape == (3, latent, *(16 // 2 ** (levels - 1),) * 2)


def test_grey_images_in_an_autoencoder_for_rgb(folder: Path) -> None:
    x_NCHW = ae.pixels_to_signal(pictures(1))
    latent, image = round_trip(pretrained.load(chosen(folder), 1, 16), x_NCHW)
    expected, colour = round_trip(make(), x_NCHW.expand(-1, 3, -1, -1))
    torch.testing.assert_close(latent, expected)
    grey = (colour * torch.tensor(pretrained.LUMINANCE).reshape(3, 1, 1)).sum(dim=1, keepdim=True)
    torch.testing.assert_close(image, grey)


def test_rgb_images_in_an_autoencoder_for_grey(tmp_path: Path) -> None:
    make(channels=1).save_pretrained(tmp_path / "grey")
    x_NCHW = ae.pixels_to_signal(pictures(3))
    latent, image = round_trip(pretrained.load(chosen(tmp_path / "grey"), 3, 16), x_NCHW)
    grey = (x_NCHW * torch.tensor(pretrained.LUMINANCE).reshape(3, 1, 1)).sum(dim=1, keepdim=True)
    expected, drawn = round_trip(make(channels=1), grey)
    torch.testing.assert_close(latent, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(image, drawn.expand(-1, 3, -1, -1), atol=1e-5, rtol=1e-5)


def test_what_is_kept_has_no_trace_of_the_folder(folder: Path, tmp_path: Path) -> None:
    model = pretrained.load(chosen(folder), 3, 16)
    (tmp_path / "moved").mkdir()
    again = folder.rename(tmp_path / "moved" / "elsewhere")
    fingerprints = [
        ae.save(one, tmp_path / name)
        for name, one in {"a": model, "b": pretrained.load(chosen(again), 3, 16)}.items()
    ]
    assert fingerprints[0] == fingerprints[1]
    assert str(tmp_path) not in (tmp_path / "a" / ae.CONFIG).read_text()
    ae.load(tmp_path / "a", CPU)


def test_a_pipeline_has_it_in_a_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    folder.rename(tmp_path / "pipeline" / "vae")
    assert pretrained.find(chosen(tmp_path / "pipeline")) == tmp_path / "pipeline" / "vae"


def test_half_precision_becomes_single(folder: Path) -> None:
    weights = load_file(folder / ae.WEIGHTS)
    save_file({name: one.half() for name, one in weights.items()}, folder / ae.WEIGHTS)
    model = pretrained.load(chosen(folder), 3, 16)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


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


def test_pickles_are_not_read(folder: Path) -> None:
    (folder / ae.WEIGHTS).unlink()
    (folder / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=r"safetensors: missing; .* never unpickled"):
        pretrained.load(chosen(folder), 3, 16)


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    document = json.loads((folder / ae.CONFIG).read_text())
    (folder / ae.CONFIG).write_text(json.dumps(document | {"_class_name": "VQModel"}))
    with pytest.raises(ValueError, match=r"_class_name is VQModel, must be AutoencoderKL"):
        pretrained.load(chosen(folder), 3, 16)


def test_weights_that_do_not_fit_or_are_cut_off_are_refused(folder: Path) -> None:
    weights = load_file(folder / ae.WEIGHTS)
    content = (folder / ae.WEIGHTS).read_bytes()
    del weights["encoder.conv_in.bias"]
    save_file(weights, folder / ae.WEIGHTS)
    with pytest.raises(ValueError, match=r"not the weights of config.json beside it: encoder.conv"):
        pretrained.load(chosen(folder), 3, 16)
    for damaged in (content[:200], b"", b"\x80" + content):
        (folder / ae.WEIGHTS).write_bytes(damaged)
        with pytest.raises(ValueError, match=r"^\S+others: not an AutoencoderKL that can be read"):
            pretrained.load(chosen(folder), 3, 16)


def test_a_resolution_that_cannot_be_shrunk_and_odd_channels_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"prepare.resolution = 15: not divisible by 2"):
        pretrained.load(chosen(folder), 3, 15)
    with pytest.raises(ValueError, match=r"takes images of 3 channels and makes ones of 3, these"):
        pretrained.load(chosen(folder), 2, 16)


def test_the_name_of_a_folder_says_nothing_of_those_above(folder: Path) -> None:
    assert pretrained.name(str(folder)) == "others"
    assert pretrained.name("someone/something") == "someone/something"
