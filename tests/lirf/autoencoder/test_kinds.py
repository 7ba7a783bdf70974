"""Every kind of autoencoder: its latents and images are those of diffusers, and files are read."""

import json
import logging
import pickle
from pathlib import Path

import foreign
import pytest
import torch
from safetensors.torch import load_file, save_file

from lirf.autoencoder import kinds, layout
from lirf.autoencoder import model as ae

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    foreign.make().save_pretrained(tmp_path / "others")
    return tmp_path / "others"


@pytest.mark.parametrize("name", foreign.NAMES)
@torch.no_grad()
def test_latents_and_images_are_those_of_diffusers(name: str, tmp_path: Path) -> None:
    theirs = foreign.make(name, levels=3)
    theirs.save_pretrained(tmp_path / "others")
    ours = kinds.read(tmp_path / "others")
    x_NCHW = ae.pixels_to_signal(foreign.pictures(3))
    latents, images = foreign.round_trip(theirs, x_NCHW)
    posterior = kinds.posterior(ours, x_NCHW)
    assert torch.equal(posterior.mean, latents)
    assert latents.shape[1:] == (kinds.latent_channels(ours), *(16 // kinds.factor(ours),) * 2)
    assert kinds.factor(ours) == 4
    found, commitment = kinds.decoded(ours, latents)
    assert torch.equal(found, images)
    assert kinds.channels(ours) == (3, 3)
    spreads = name == "AutoencoderKL"
    assert bool(posterior.std.any()) is spreads
    assert bool(posterior.kl().any()) is spreads
    assert (commitment is not None) is (name == "VQModel")


@torch.no_grad()
def test_latents_of_a_codebook_are_those_before_it_and_decoding_rounds_to_it() -> None:
    model = foreign.make("VQModel")
    assert isinstance(model, kinds.VQModel)
    x_NCHW = ae.pixels_to_signal(foreign.pictures(3))
    z_NCHW = kinds.posterior(model, x_NCHW).mean
    codes_NCHW = model.quantize(z_NCHW)[0]
    assert not torch.allclose(z_NCHW, codes_NCHW, atol=0.01)
    image, away = kinds.decoded(model, z_NCHW)
    same, there = kinds.decoded(model, codes_NCHW)
    torch.testing.assert_close(image, same)
    assert away is not None
    assert there is not None
    assert away > 100 * there


@pytest.mark.parametrize("name", foreign.NAMES)
def test_a_frozen_encoder_leaves_the_decoder_to_be_trained(name: str) -> None:
    model = foreign.make(name)
    kinds.freeze_encoder(model)
    before = [weight.clone() for weight in model.parameters()]
    x_NCHW = ae.pixels_to_signal(foreign.pictures(3))
    z_NCHW = kinds.posterior(model, x_NCHW).mean
    assert not z_NCHW.requires_grad
    kinds.decoded(model, z_NCHW)[0].square().mean().backward()
    for name_, weight in model.named_parameters():
        assert (weight.grad is not None) is name_.startswith(("decoder.", "post_quant_conv."))
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize("name", foreign.NAMES)
def test_the_last_weight_of_the_encoder_is_next_to_the_latents(name: str) -> None:
    weight = kinds.last_of_encoder(foreign.make(name, latent=2))
    assert weight.shape[0] == (4 if name == "AutoencoderKL" else 2)


def test_reading_warns_of_nothing_and_leaves_no_traces(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    foreign.make("AutoencoderTiny").save_pretrained(tmp_path / "others")
    with caplog.at_level(logging.WARNING, logger="diffusers"):
        model = kinds.without_traces(kinds.read(tmp_path / "others"))
    assert not caplog.records
    model.save_pretrained(tmp_path / "ours")
    assert str(tmp_path) not in (tmp_path / "ours" / layout.CONFIG).read_text()


def test_half_precision_becomes_single(folder: Path) -> None:
    weights = load_file(folder / layout.WEIGHTS)
    save_file({name: one.half() for name, one in weights.items()}, folder / layout.WEIGHTS)
    assert {weight.dtype for weight in kinds.read(folder).parameters()} == {torch.float32}


def test_pickles_are_not_read(folder: Path) -> None:
    (folder / layout.WEIGHTS).unlink()
    (folder / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match=r"safetensors: missing; .* never unpickled"):
        kinds.read(folder)


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    document = json.loads((folder / layout.CONFIG).read_text())
    (folder / layout.CONFIG).write_text(json.dumps(document | {"_class_name": "UNet2DModel"}))
    with pytest.raises(
        ValueError, match=r"_class_name is UNet2DModel, must be one of AutoencoderKL, .*VQModel$"
    ):
        kinds.read(folder)


def test_weights_that_do_not_fit_or_are_cut_off_are_refused(folder: Path) -> None:
    weights = load_file(folder / layout.WEIGHTS)
    content = (folder / layout.WEIGHTS).read_bytes()
    del weights["encoder.conv_in.bias"]
    save_file(weights, folder / layout.WEIGHTS)
    with pytest.raises(ValueError, match=r"not the weights of config.json beside it: encoder.conv"):
        kinds.read(folder)
    for damaged in (content[:200], b"", b"\x80" + content):
        (folder / layout.WEIGHTS).write_bytes(damaged)
        with pytest.raises(ValueError, match=r"^\S+others: not an AutoencoderKL that can be read"):
            kinds.read(folder)
