"""The operator equals its formulas, obeys the laws that follow from them, and has no weak spot."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lirf.densify.slerp import Corrected, correct, normalize, reference, slerp

fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32 - 1)


def by_the_formulas(
    z: np.ndarray, neighbours: np.ndarray, temperature: float, lambda_: float
) -> np.ndarray:
    """Return C(z) of one latent: the plane of z and u as complex numbers, u a rotation of z."""
    norms = [math.sqrt(math.fsum(n * n)) for n in neighbours]
    norm = math.sqrt(math.fsum(z * z))
    cosines = [math.fsum(z * n) / norm / r for n, r in zip(neighbours, norms, strict=True)]
    odds = [math.exp((c - max(cosines)) / temperature) for c in cosines]
    weights = [o / math.fsum(odds) for o in odds]
    mean = np.array(weights) @ neighbours
    u = mean / np.linalg.norm(mean)
    basis, coordinates = np.linalg.qr(np.stack([z / norm, u], axis=1))
    first, second = coordinates[:, 0], coordinates[:, 1]
    angle = np.angle(complex(*second) / complex(*first))
    turned = complex(*first) * np.exp(1j * lambda_ * angle)
    radius = (1 - lambda_) * norm + lambda_ * sum(
        w * r for w, r in zip(weights, norms, strict=True)
    )
    return radius * (basis @ np.array([turned.real, turned.imag]))


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Draw a latent, its neighbours in float32, a temperature and lambda.

    The neighbours lie anywhere, or within 10^-1 to 10^-5 of the direction of z or of its
    opposite; norms span twelve orders of magnitude.
    """
    rng = np.random.default_rng(draw(seeds))
    k, dimension = draw(st.integers(1, 6)), draw(st.integers(2, 40))
    z = rng.standard_normal(dimension)
    z *= 10.0 ** draw(st.integers(-6, 6)) / np.linalg.norm(z)
    neighbours = rng.standard_normal((k, dimension))
    if draw(st.booleans()):
        side = draw(st.sampled_from([-1, 1])) / np.linalg.norm(z)
        neighbours = side * z + 10.0 ** draw(st.integers(-5, -1)) * neighbours
    neighbours *= 10.0 ** rng.uniform(-6, 6, (k, 1))
    temperature = draw(st.sampled_from([0.01, 0.1, 1.0, 10.0]))
    return z.astype(np.float32), neighbours.astype(np.float32), temperature, draw(fractions)


def apply(z: np.ndarray, neighbours: np.ndarray, temperature: float, lambda_: float) -> Corrected:
    """Correct one latent towards the rows of `neighbours`."""
    z_MD, neighbours_MKD = (torch.from_numpy(x)[None] for x in (z, neighbours))
    return correct(z_MD, neighbours_MKD, temperature, lambda_)


@given(cases())
def test_equals_the_formulas(case: tuple[np.ndarray, np.ndarray, float, float]) -> None:
    z, neighbours, temperature, lambda_ = case
    expected = by_the_formulas(
        z.astype(np.float64), neighbours.astype(np.float64), temperature, lambda_
    )
    got = apply(*case)
    error = np.linalg.norm(got.latents[0].double().numpy() - expected)
    assert error <= 1e-5 * np.linalg.norm(expected)
    moved = np.linalg.norm(expected - z)
    assert got.displacement[0].item() == pytest.approx(
        moved, rel=1e-5, abs=1e-9 * float(abs(z).max())
    )
    assert got.weights.sum().item() == pytest.approx(1)


@given(seeds, st.integers(1, 5), st.integers(2, 30), st.floats(0.1, 2), fractions)
def test_laws_of_angle_and_displacement(
    seed: int, k: int, dimension: int, temperature: float, lambda_: float
) -> None:
    """theta -> (1 - lambda) theta, and 2 |z| sin(lambda theta / 2) at matched radius."""
    generator = torch.Generator().manual_seed(seed)
    neighbours = torch.randn(k, dimension, generator=generator, dtype=torch.float64)
    z = normalize(torch.randn(1, dimension, generator=generator, dtype=torch.float64))
    cosine = normalize(neighbours) @ z[0]
    u, radius, _ = reference(neighbours[None], cosine[None], temperature)
    z = z * radius  # matched; the weights depend on the direction of z alone
    theta = torch.acos((normalize(z) @ u[0]).clamp(-1, 1)).item()
    corrected = correct(z, neighbours[None], temperature, lambda_)
    after = torch.acos((normalize(corrected.latents.double()) @ u[0]).clamp(-1, 1)).item()
    assert after == pytest.approx((1 - lambda_) * theta, abs=1e-3)
    law = 2 * radius.item() * math.sin(lambda_ * theta / 2)
    assert corrected.displacement.item() == pytest.approx(law, rel=1e-6)
    assert corrected.latents.norm().item() == pytest.approx(radius.item(), rel=1e-6)


@settings(max_examples=40)
@given(seeds, st.integers(3, 12), fractions, st.floats(0.05, 3.05), st.floats(0.2, 5))
def test_the_local_stretch_has_three_values(
    seed: int, dimension: int, lambda_: float, theta: float, radius: float
) -> None:
    """C is differentiable; with fixed neighbours and weights its singular values are

        1 - lambda                                      along z,
        rho'/rho (1 - lambda)                           along the great circle towards u,
        rho'/rho sin((1-lambda) theta) / sin(theta)     across it, D - 2 times,

    where rho' = (1-lambda) rho + lambda r_bar. The last is never below the second, so the largest,
    kappa, is the greater of the first and the last: below 1 at matched radius if and only if
    theta < pi / (2 - lambda), as sin((1-lambda) theta) = sin(theta) there.
    """
    generator = torch.Generator().manual_seed(seed)
    u, other = normalize(torch.randn(2, dimension, generator=generator, dtype=torch.float64))
    across = normalize(other - (other @ u) * u)
    z = math.cos(theta) * u + math.sin(theta) * across
    # Two neighbours about u; at an infinite temperature their weights stay at a half.
    spread = 0.3 * normalize(torch.randn(dimension, generator=generator, dtype=torch.float64))
    spread -= (spread @ u) * u
    bank = torch.stack([u + spread, u - spread])
    bank *= radius / bank.norm(dim=1, keepdim=True)

    def operator(z: torch.Tensor) -> torch.Tensor:
        return correct(z[None], bank[None], math.inf, lambda_).latents[0]

    jacobian = torch.autograd.functional.jacobian(operator, z)
    assert isinstance(jacobian, torch.Tensor)
    got = torch.linalg.svdvals(jacobian.double())
    stretch = (1 - lambda_) + lambda_ * radius  # rho' / rho, as rho = 1
    sideways = stretch * math.sin((1 - lambda_) * theta) / math.sin(theta)
    law = [1 - lambda_, stretch * (1 - lambda_), *[sideways] * (dimension - 2)]
    expected = torch.tensor(sorted(law, reverse=True), dtype=torch.float64)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    assert sideways >= stretch * (1 - lambda_) * (1 - 1e-12)


@given(fractions, st.floats(0.1, 3.05))
def test_matched_radii_contract_below_the_critical_angle_only(lambda_: float, theta: float) -> None:
    """Two latents at one angle to u, around it by a little, come nearer to each other or not."""
    apart = 1e-3
    bank = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    turn = torch.tensor([-apart / 2, apart / 2], dtype=torch.float64)
    z = torch.stack(
        [
            torch.full((2,), math.cos(theta)),
            math.sin(theta) * turn.cos(),
            math.sin(theta) * turn.sin(),
        ],
        1,
    )
    moved = correct(z, bank.expand(2, 1, 3), 1.0, lambda_).latents.double()
    before, after = (float((x[0] - x[1]).norm()) for x in (z, moved))
    limit = math.pi / (2 - lambda_)
    if abs(theta - limit) > 1e-2:  # float32 latents resolve no more
        assert (after < before) == (theta < limit)


@given(cases(), st.sampled_from([2.0**-20, 8.0, 2.0**20]))
def test_scale_equivariance(
    case: tuple[np.ndarray, np.ndarray, float, float], scale: float
) -> None:
    """C(c z) with a bank c Z is c C(z): a power of two, so to the last bit."""
    z, neighbours, temperature, lambda_ = case
    plain = apply(z, neighbours, temperature, lambda_)
    scaled = apply(z * np.float32(scale), neighbours * np.float32(scale), temperature, lambda_)
    assert torch.equal(scaled.latents, scale * plain.latents)
    assert torch.equal(scaled.weights, plain.weights)


def test_lambda_zero_keeps_and_lambda_one_replaces() -> None:
    generator = torch.Generator().manual_seed(0)
    z, bank = (torch.randn(5, 8, generator=generator) for _ in range(2))
    beside = bank[:3].expand(5, 3, 8)
    kept = correct(z, beside, 1.0, 0.0)
    torch.testing.assert_close(kept.latents, z)
    torch.testing.assert_close(kept.displacement, torch.zeros(5).double(), atol=1e-14, rtol=0)
    replaced = correct(z, beside, 1.0, 1.0).latents
    cosine = torch.einsum("md,mkd->mk", normalize(z), normalize(beside))
    u, radius, _ = reference(beside, cosine, 1.0)
    torch.testing.assert_close(replaced, radius[:, None] * u)


def test_temperature_goes_from_the_nearest_alone_to_equal_weights() -> None:
    neighbours = torch.eye(3)[None]
    cosine = torch.tensor([[0.9, 0.5, 0.1]])
    torch.testing.assert_close(reference(neighbours, cosine, 1e-3)[2], torch.tensor([[1.0, 0, 0]]))
    torch.testing.assert_close(reference(neighbours, cosine, 1e6)[2], torch.full((1, 3), 1 / 3))
    published = torch.tensor([0.9, 0.5, 0.1]).exp()
    torch.testing.assert_close(
        reference(neighbours, cosine, 1.0)[2][0], published / published.sum()
    )


@given(seeds, st.integers(2, 50), st.floats(-16, 0), st.booleans(), fractions)
def test_slerp_is_a_uniform_rotation_at_every_angle(
    seed: int, dimension: int, exponent: float, opposite: bool, fraction: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, other = (
        normalize(torch.randn(4, dimension, generator=generator, dtype=torch.float64))
        for _ in range(2)
    )
    b = normalize((-1 if opposite else 1) * a + 10**exponent * other)
    turned = slerp(a, b, fraction)
    torch.testing.assert_close(turned.norm(dim=1), torch.ones(4).double(), rtol=1e-13, atol=0)

    def angle(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return 2 * torch.atan2((x - y).norm(dim=1), (x + y).norm(dim=1))

    torch.testing.assert_close(angle(a, turned), fraction * angle(a, b), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(
        angle(turned, b), (1 - fraction) * angle(a, b), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slerp_between_opposites_turns_along_some_great_circle(dtype: torch.dtype) -> None:
    a = normalize(torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]], dtype=dtype))
    halfway = slerp(a, -a, 0.5)
    torch.testing.assert_close(halfway.norm(dim=1), torch.ones(2, dtype=dtype))
    torch.testing.assert_close((halfway * a).sum(dim=1), torch.zeros(2, dtype=dtype))
    torch.testing.assert_close(slerp(a, a, 0.5), a)


def test_missing_directions_are_not_invented() -> None:
    bank = torch.tensor(
        [[2.0, 0.0], [-2.0, 0.0], [0.0, 3.0], [0.0, 0.0], [0.1, 0.0], [0.2, 0.0], [-0.3, 0.0]]
    )

    def corrected(z: list[float], *indices: int) -> list[float]:
        done = correct(torch.tensor([z]), bank[None, [*indices]], 1e9, 0.5)
        return done.latents[0].tolist()

    assert corrected([0.0, 0.0], 2) == pytest.approx([0.0, 1.5])  # no own direction
    assert corrected([0.0, 4.0], 0, 1) == pytest.approx([0.0, 3.0], rel=1e-6)  # they cancel
    assert corrected([0.0, 4.0], 4, 5, 6) == pytest.approx([0.0, 2.1])  # but for rounding
    assert corrected([0.0, 4.0], 3) == pytest.approx([0.0, 2.0])  # a zero neighbour
    assert corrected([0.0, 0.0], 0, 1) == [0.0, 0.0]
    assert corrected([0.0, 0.0], 3) == [0.0, 0.0]


def test_a_copy_of_its_only_neighbours_stays_where_it_is() -> None:
    z = torch.randn(1, 16, generator=torch.Generator().manual_seed(1))
    done = correct(z, z.expand(1, 3, 16), 1.0, 0.8)
    torch.testing.assert_close(done.latents, z)
    assert done.displacement.item() < 1e-12


def test_autocast_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(2)
    z, beside = (torch.randn(*shape, generator=generator) for shape in ((9, 8), (9, 3, 8)))
    expected = correct(z, beside, 1.0, 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        got = correct(z, beside, 1.0, 0.5)
    torch.testing.assert_close(got.latents, expected.latents, rtol=1e-6, atol=0)
    torch.testing.assert_close(got.displacement, expected.displacement)
    assert got.latents.dtype == torch.float32
