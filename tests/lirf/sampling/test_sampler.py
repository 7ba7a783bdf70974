"""Ends of the exact flow, and samples that know nothing of each other."""

import math
from typing import Literal

import pytest
import torch

from lirf import params
from lirf.networks.build import build
from lirf.objectives import rectified
from lirf.objectives.base import Field
from lirf.sampling import sampler

CPU = torch.device("cpu")
Solver = Literal["euler", "heun", "midpoint", "dopri5"]
SOLVERS: list[Solver] = ["euler", "heun", "midpoint", "dopri5"]


def settings(solver: Solver, steps: int = 20, batch: int = 8, **more: float) -> params.Sample:
    numbers = {"atol": 1e-6, "rtol": 1e-3, **more}
    return params.Sample(
        seed=0, ratio=1.0, solver=solver, steps=steps, batch=batch, compile=False, **numbers
    )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("steps", [10, 40])
def test_the_exact_flow_ends_on_the_anchors(solver: Solver, steps: int):
    anchors = 2 * torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    x0 = sampler.noise(sampler.seeds(0, "test", 12), (3, 2, 2))
    ends = sampler.integrate(
        lambda x, t: rectified.closed_form(x, t, anchors), x0, settings(solver, steps)
    )
    nearest = torch.cdist(ends.flatten(1), anchors.flatten(1)).amin(dim=1)
    assert nearest.max() < 2e-2
    assert len({int(i) for i in torch.cdist(ends.flatten(1), anchors.flatten(1)).argmin(1)}) > 1


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_single_anchor_is_reached_exactly(solver: Solver, steps: int):
    anchor = torch.randn(1, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    x0 = sampler.noise([1, 2], (2, 2, 2))
    end = sampler.integrate(
        lambda x, t: rectified.closed_form(x, t, anchor), x0, settings(solver, steps)
    )
    torch.testing.assert_close(end, anchor.expand_as(end), atol=2e-3, rtol=0)


def trained_like() -> Field:
    """A network with weights that all matter: what a solver meets in earnest."""
    torch.manual_seed(0)
    config = {"kind": "transformer", "patch": 2, "width": 16, "depth": 1, "heads": 2}
    built = build(config, (2, 4, 4)).requires_grad_(False)
    for parameter in built.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return built


def draw(field: Field, count: int, config: params.Sample) -> torch.Tensor:
    seeds = sampler.seeds(0, "r01", count)
    return torch.cat(list(sampler.sample(field, seeds, (2, 4, 4), config, CPU)))


@pytest.mark.parametrize("solver", SOLVERS)
def test_sample_17_is_the_same_in_any_batch_and_count(solver: Solver):
    field = trained_like()
    alone = draw(field, 18, settings(solver, 6, batch=1))
    assert alone.shape == (18, 2, 4, 4)
    for count, batch in ((18, 18), (20, 7)):
        other = draw(field, count, settings(solver, 6, batch=batch))
        assert len(other) == count
        assert torch.allclose(other[17], alone[17], atol=1e-5)
    assert not torch.allclose(alone[16], alone[17], atol=0.1)


def test_noise_is_normal_and_of_its_seed_alone():
    drawn = sampler.noise(sampler.seeds(0, "r01", 2000), (4, 2, 2))
    assert drawn.shape == (2000, 4, 2, 2)
    assert drawn.dtype == torch.float32
    assert drawn.mean().item() == pytest.approx(0, abs=0.02)
    assert drawn.std().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(sampler.noise([7, 5], (4,))[1], sampler.noise([5], (4,))[0])


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_sample_that_is_not_finite_is_named(solver: Solver):
    seeds = sampler.seeds(0, "r01", 6)
    guilty = sampler.noise(seeds, (2, 4, 4))[4, 0, 0, 0]

    def field(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        bad = (x[:, :1, :1, :1] == guilty) & (t[:, None, None, None] == 0)
        return torch.where(bad, math.nan, 0 * x)

    batches = sampler.sample(field, seeds, (2, 4, 4), settings(solver, 4, batch=3), CPU)
    assert len(next(batches)) == 3
    with pytest.raises(ValueError, match=rf"^sample 4 \(seed {seeds[4]}\) is not finite"):
        next(batches)


def still(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(x)


def test_a_batch_that_is_left_open_follows_from_the_latents_on_a_cpu():
    config = settings("euler").model_copy(update={"batch": None})
    sizes = [sampler.batch(still, shape, config, CPU) for shape in ((4, 4, 4), (4, 32, 32))]
    assert sizes == [1024, 16]
    assert sampler.batch(still, (4, 4, 4), settings("euler", batch=3), CPU) == 3
    seeds = sampler.seeds(0, "test", 5)
    drawn = torch.cat(list(sampler.sample(lambda x, _: -x, seeds, (1, 2, 2), config, CPU)))
    assert len(drawn) == 5


@pytest.mark.parametrize(
    ("available", "each", "rows"), [(100, 1, 64), (1, 10, 1), (2**40, 1, 4096), (96, 3, 32)]
)
def test_a_batch_is_a_power_of_two_that_fits(available: int, each: int, rows: int):
    assert sampler._fitting(available, each) == rows


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_batch_that_is_left_open_fits_into_a_gpu():
    where, shape = torch.device("cuda"), (4, 32, 32)
    net = build({"kind": "mlp", "width": 512, "depth": 4}, shape).to(where)
    config = settings("euler").model_copy(update={"batch": None})
    rows = sampler.batch(net, shape, config, where)
    assert 1 <= rows <= sampler.MOST_ROWS
    net(torch.zeros(rows, *shape, device=where), torch.zeros(rows, device=where))
