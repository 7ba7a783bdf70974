"""The published pipeline's options, as users of diffusers know them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import foreign
import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)

from lirf.autoencoder import model as ae
from lirf.autoencoder.frame import Frame
from lirf.publish.pipeline import LatentFlowPipeline
from lirf.publish.scheduler import FlowScheduler
from lirf.publish.velocity import VelocityField
from lirf.sampling import sampler
from lirf.store.space import Space
from lirf.training import checkpoint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pipeline(trained_rgb) -> LatentFlowPipeline:
    network, document = checkpoint.load_ema(trained_rgb.weights, CPU)
    field = VelocityField(
        document["network"], {"prediction": document["prediction"]}, document["space"].to_json()
    )  # fmt: skip
    field.network.load_state_dict(network.state_dict())
    decoder = ae.load(trained_rgb.autoencoder, CPU)
    made = LatentFlowPipeline(decoder.model, field, FlowScheduler("midpoint", 3))
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize("name", foreign.NAMES)
def test_any_autoencoder_decodes_and_what_was_enlarged_is_shrunk(name: str, tmp_path: Path):
    folder = tmp_path / "autoencoder"
    ae.save(ae.Framed(foreign.make(name), Frame(1, 2)), folder)
    decoder = ae.load(folder, CPU)
    space = Space(decoder.fingerprint, (4, 8, 8), (0.5,) * 4, (2.0,) * 4)
    architecture = {"kind": "mlp", "width": 4, "depth": 1, "labels": 0}
    field = VelocityField(architecture, {"prediction": "velocity"}, space.to_json())
    made = LatentFlowPipeline(decoder.model, field, FlowScheduler("euler", 2), 1, 2)
    made.set_progress_bar_config(disable=True)
    images, z_BCHW = (draw(made, seeds=[1, 2], output_type=kind) for kind in ("pil", "latent"))
    expected_BCHW = ae.decode(decoder, z_BCHW.numpy(), space, 2, CPU)
    assert [(image.mode, image.size) for image in images] == [("L", (8, 8))] * 2
    np.testing.assert_array_equal(np.stack(images)[:, None], expected_BCHW)


def torch_generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(pipeline: LatentFlowPipeline, **options: Any) -> Any:
    return pipeline(return_dict=False, **options)[0]


def test_output_types_agree(pipeline):
    pil, pt, arrays, z = (
        draw(pipeline, seeds=[1, 2], output_type=kind) for kind in ("pil", "pt", "np", "latent")
    )
    assert [(image.mode, image.size) for image in pil] == [("RGB", (8, 8))] * 2
    assert pt.shape == (2, 3, 8, 8)
    assert arrays.shape == (2, 8, 8, 3)
    assert z.shape == (2, 2, 4, 4)
    np.testing.assert_array_equal(pt.permute(0, 2, 3, 1).numpy(), arrays)
    assert 0 <= arrays.min() < arrays.max() <= 1
    np.testing.assert_allclose(np.stack(pil), arrays * 255, atol=0.501)


def test_by_default_it_is_one_pillow_image(pipeline):
    (image,) = pipeline().images
    assert image.size == (8, 8)


def test_an_image_is_the_same_whatever_the_batch(pipeline):
    together = draw(pipeline, seeds=[3, 4, 5], output_type="pt")
    alone = draw(pipeline, seeds=[4], output_type="pt")
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=0)
    assert (together[0] - together[1]).abs().max() > 0.01


def test_seeds_are_those_of_the_sampler(pipeline):
    z_BCHW = pipeline._noise(None, None, [0, 2**63 - 1])
    assert torch.equal(z_BCHW, sampler.noise([0, 2**63 - 1], (2, 4, 4)))


def test_generators_decide_the_images(pipeline):
    def one(generator: Any, count: int = 2) -> torch.Tensor:
        return draw(pipeline, generator=generator, batch_size=count, output_type="latent")

    first = one(torch_generator(0))
    assert torch.equal(first, one(torch_generator(0)))
    assert not torch.equal(first, one(torch_generator(1)))
    listed = one([torch_generator(0), torch_generator(1)])
    torch.testing.assert_close(listed[1:], one(torch_generator(1), 1), atol=1e-3, rtol=1e-4)


def test_the_number_of_steps_is_the_solvers(pipeline):
    calls: list[float] = []
    hook = pipeline.network.register_forward_hook(lambda _m, args, _out: calls.append(args[1][0]))
    draw(pipeline, num_inference_steps=5)
    draw(pipeline)
    hook.remove()
    assert len(calls) == 2 * (5 + 3)  # two evaluations an interval


def test_half_precision_runs(pipeline):
    assert draw(pipeline.to(torch.bfloat16), output_type="np").dtype == np.float32
    pipeline.to(torch.float32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_type": "jpeg"}, "output_type = 'jpeg': must be one of pil, np, pt, latent"),
        ({"batch_size": 0}, "batch_size = 0: must be a positive integer"),
        ({"num_inference_steps": 0}, "num_inference_steps = 0: must be a positive integer"),
        ({"seeds": [1, 2], "batch_size": 3}, "2 seeds for batch_size = 3: one each"),
        ({"seeds": [1], "generator": torch_generator(0)}, "seeds and generator: give one of them"),
        ({"generator": [torch_generator(0)], "batch_size": 2}, "1 generator for batch_size = 2"),
        ({"seeds": [-1]}, r"seed -1: must be in \[0, 2\*\*63\)"),
        ({"seeds": []}, "batch_size = 0: must be a positive integer"),
    ],
)
def test_an_option_out_of_range_is_one_line(
    pipeline, options: dict[str, Sequence[Any]], message: str
):
    with pytest.raises(ValueError, match=f"^{message}"):
        pipeline(**options)


def test_another_kind_of_scheduler_is_refused(pipeline):
    other = LatentFlowPipeline(pipeline.vae, pipeline.network, FlowMatchEulerDiscreteScheduler())
    with pytest.raises(ValueError, match="scheduler = FlowMatchEulerDiscreteScheduler: must be"):
        other()


def test_an_image_that_is_not_finite_is_refused(pipeline):
    bias = pipeline.network.network.output.bias
    with torch.no_grad():
        kept = bias.clone()
        bias[0] = torch.nan
        try:
            with pytest.raises(ValueError, match="image 0 is not finite"):
                pipeline()
        finally:
            bias.copy_(kept)
