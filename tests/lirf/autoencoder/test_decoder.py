"""The decoder in plain torch makes the images of diffusers to the bit, and loads none of it."""

import subprocess
import sys
from pathlib import Path

import foreign
import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import load_file, save_file

from lirf.autoencoder import decoder, layout
from lirf.autoencoder import model as ae
from lirf.autoencoder.frame import Frame
from lirf.store.space import Space

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("one_thread")


def save(model: ae.Model, folder: Path, frame: Frame = Frame(3)) -> Path:  # noqa: B008
    ae.save(ae.Framed(model.eval(), frame), folder)
    return folder


def same(folder: Path, shape: tuple[int, int, int], count: int) -> None:
    """Check images and what they are rounded from against those through diffusers."""
    ours, theirs = decoder.load(folder, CPU), ae.load(folder, CPU)
    assert (ours.frame, ours.fingerprint) == (theirs.frame, theirs.fingerprint)
    space = Space(theirs.fingerprint, shape, (0.5,) * shape[0], (2.0,) * shape[0])
    z_NCHW = np.random.default_rng(0).standard_normal((count, *shape), np.float32)
    raw_NCHW = torch.tensor(space.unscale(z_NCHW))
    with torch.no_grad():
        expected = ae.kinds.decoded(theirs.model, raw_NCHW)[0]
        assert torch.equal(ours.network(raw_NCHW), expected)
    np.testing.assert_array_equal(
        ours.images(z_NCHW, space, 3, CPU), ae.decode(theirs, z_NCHW, space, 3, CPU)
    )


@pytest.mark.parametrize("name", foreign.NAMES)
@pytest.mark.parametrize("frame", [Frame(3), Frame(1, 2)])
def test_images_are_those_of_diffusers(name: str, frame: Frame, tmp_path: Path):
    model = foreign.make(name, levels=3)
    latent = ae.kinds.latent_channels(model)
    same(save(model, tmp_path / "model", frame), (latent, 4, 4), 5)


@pytest.mark.parametrize("count", [63, 64])  # diffusers lays 64 and more out otherwise
@pytest.mark.parametrize(
    "changes",
    [
        {"layers_per_block": 1},
        {"mid_block_add_attention": False, "use_post_quant_conv": False},
        {"up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D")},
        {"act_fn": "relu"},
    ],
)
def test_sizes_and_parts_are_those_of_the_configuration(
    changes: dict[str, object], count: int, tmp_path: Path
):
    torch.manual_seed(0)
    sizes = {"block_out_channels": (8, 16), "norm_num_groups": 4, "latent_channels": 2}
    types = {f"{way}_block_types": (f"{kind}Block2D",) * 2
             for way, kind in (("down", "DownEncoder"), ("up", "UpDecoder"))}  # fmt: skip
    model = AutoencoderKL(**{**sizes, **types, **changes})  # pyright: ignore
    same(save(model, tmp_path / "model"), (2, 3, 5), count)


@pytest.mark.parametrize("name", ["AutoencoderKL", "AutoencoderTiny"])
def test_it_loads_no_diffusers(name: str, tmp_path: Path):
    folder = save(foreign.make(name), tmp_path / "model")
    program = (
        "import sys, torch; from pathlib import Path; from lirf.autoencoder import decoder;"
        f"decoder.load(Path({str(folder)!r}), torch.device('cpu')); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"diffusers", "torchvision", "transformers", "pydantic", "scipy", "torch._dynamo"}
    assert not heavy & set(done.stdout.split())


def test_weights_of_another_network_are_refused(tmp_path: Path):
    folder = save(foreign.make("AutoencoderKL"), tmp_path / "model")
    weights = load_file(folder / layout.WEIGHTS)
    weights.pop("decoder.conv_out.bias")
    save_file(weights, folder / layout.WEIGHTS)
    layout.seal(folder, {})
    with pytest.raises(ValueError, match="model: not a decoder that can be read") as refused:
        decoder.load(folder, CPU)
    assert "decoder.conv_out.bias" in str(refused.value)
    (folder / layout.WEIGHTS).write_bytes(b"no weights at all")
    layout.seal(folder, {})
    with pytest.raises(ValueError, match="model: not a decoder that can be read"):
        decoder.load(folder, CPU)
