"""The path, the loss, and its exact minimiser against an independent reference."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from lirf.networks.condition import NULL, Condition
from lirf.objectives import rectified
from lirf.objectives.rectified import Rectified


def loss_of(field, prediction, x0, x1, t) -> torch.Tensor:
    """Return the loss of a network that is told nothing."""
    return Rectified(prediction).loss(lambda x, t, _: field(x, t), x0, x1, t, NULL)


def reference(x_BD: np.ndarray, t_B: np.ndarray, anchors_ND: np.ndarray) -> np.ndarray:
    """Compute the formula as it is written, row by row in float64."""
    rows = []
    for x, t in zip(x_BD.astype(np.float64), t_B.astype(np.float64), strict=True):
        exponent = -((x - t * anchors_ND) ** 2).sum(1) / (2 * (1 - t) ** 2)
        w = np.exp(exponent - exponent.max())
        rows.append((w / w.sum()) @ (anchors_ND - x) / (1 - t))
    return np.array(rows)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    anchors=st.integers(1, 12),
    dimension=st.integers(1, 20),
    t=st.floats(0, 0.999),
    scale=st.floats(0.1, 10),
)
def test_closed_form_is_the_formula(seed, anchors, dimension, t, scale):
    rng = np.random.default_rng(seed)
    anchors_ND = (scale * rng.standard_normal((anchors, dimension))).astype(np.float32)
    x_BD = rng.standard_normal((3, dimension)).astype(np.float32)
    t_B = np.full(3, t, np.float32)
    expected = reference(x_BD, t_B, anchors_ND.astype(np.float64))
    x, t_, anchors_ = (torch.from_numpy(array) for array in (x_BD, t_B, anchors_ND))
    actual = rectified.closed_form(x, t_, anchors_).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_closed_form_is_finite_up_to_the_end():
    x, anchors = torch.randn(4, 2, 4, 4), 3 * torch.randn(9, 2, 4, 4)
    for t in (0.999, 1 - 1e-6, 1.0):
        velocity = rectified.closed_form(x, torch.full((4,), t), anchors)
        assert velocity.shape == x.shape
        assert velocity.dtype == x.dtype
        assert bool(velocity.isfinite().all())


def test_a_single_anchor_is_met_on_a_straight_line():
    x0, anchor = torch.randn(5, 3, 2, 2), torch.randn(1, 3, 2, 2)
    for t in (0.0, 0.4, 0.95):
        t_B = torch.full((5,), t)
        x = rectified.interpolate(x0, anchor.expand_as(x0), t_B)
        torch.testing.assert_close(
            rectified.closed_form(x, t_B, anchor), anchor - x0, atol=1e-4, rtol=0
        )


def test_the_closed_form_has_the_least_loss():
    generator = torch.Generator().manual_seed(0)
    anchors = torch.randn(5, 2, 1, 1, generator=generator)
    x1 = anchors[torch.randint(5, (4000,), generator=generator)]
    x0 = torch.randn(x1.shape, generator=generator)
    t = 0.9 * torch.rand(4000, generator=generator)

    def loss(bend: float) -> float:
        def field(x, t):
            return (1 + bend) * rectified.closed_form(x, t, anchors) + bend * x

        return loss_of(field, "velocity", x0, x1, t).item()

    assert loss(0) < min(loss(0.1), loss(-0.1))
    assert loss(0) < loss_of(lambda x, _: torch.zeros_like(x), "velocity", x0, x1, t).item()


def test_the_path_runs_from_noise_to_data():
    x0, x1 = torch.randn(3, 2, 2, 2), torch.randn(3, 2, 2, 2)
    assert torch.equal(rectified.interpolate(x0, x1, torch.zeros(3)), x0)
    assert torch.equal(rectified.interpolate(x0, x1, torch.ones(3)), x1)
    middle = rectified.interpolate(x0, x1, torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(middle[0], 0.75 * x0[0] + 0.25 * x1[0])


@settings(max_examples=30, deadline=None)
@given(t=st.floats(0, 0.99), seed=st.integers(0, 2**31))
def test_a_data_prediction_means_the_velocity_that_leads_there(t, seed):
    generator = torch.Generator().manual_seed(seed)
    x0, x1 = (torch.randn(2, 3, 2, 2, generator=generator) for _ in range(2))
    t_B = torch.full((2,), t)
    x = rectified.interpolate(x0, x1, t_B)
    velocity = rectified.as_velocity(x1, x, t_B, "data")
    torch.testing.assert_close(velocity, x1 - x0, atol=2e-3, rtol=0)
    assert torch.equal(rectified.as_velocity(velocity, x, t_B, "velocity"), velocity)


def test_a_data_prediction_is_bounded_at_the_end():
    x, output = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    for t in (0.99, 0.9999, 1.0):
        assert rectified.as_velocity(output, x, torch.tensor([t]), "data").item() == pytest.approx(
            100
        )


def test_the_loss_is_the_mean_squared_velocity_error():
    x0, x1, t = torch.randn(6, 2, 2, 2), torch.randn(6, 2, 2, 2), torch.rand(6) * 0.9
    still = loss_of(lambda x, _: torch.zeros_like(x), "velocity", x0, x1, t)
    assert still.item() == pytest.approx((x1 - x0).square().mean().item(), rel=1e-5)
    assert loss_of(lambda _x, _t: x1, "data", x0, x1, t).item() == pytest.approx(0, abs=1e-6)


def test_the_condition_reaches_the_network():
    x0, x1, t = torch.zeros(3, 2, 1, 1), torch.ones(3, 2, 1, 1), torch.rand(3)

    def told(x, _t, condition):
        return condition.augmentation[:, :1, None, None].expand_as(x)

    for value in (1.0, 3.0):
        condition, objective = Condition(torch.full((3, 4), value)), Rectified("velocity")
        assert objective.loss(told, x0, x1, t, condition).item() == (value - 1) ** 2
        assert torch.equal(objective.field(told, condition)(x0, t), value * x1)


def test_a_field_lets_gradients_through_to_the_point():
    x = torch.zeros(2, 1, 1, 1, requires_grad=True)
    Rectified("data").field(lambda x, _t, _c: 3 * x)(x, torch.zeros(2)).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.full_like(x, 2))


def test_a_prediction_of_something_else_is_refused():
    with pytest.raises(ValueError, match="prediction = 'noise': must be velocity or data"):
        Rectified("noise")  # pyright: ignore[reportArgumentType]


def test_times_are_drawn_as_named():
    generator = torch.Generator().manual_seed(0)
    uniform = rectified.draw_times(20_000, "uniform", generator)
    normal = rectified.draw_times(20_000, "logit-normal", generator)
    assert 0 <= uniform.min() < uniform.max() < 1
    assert uniform.std().item() == pytest.approx(12**-0.5, abs=0.01)
    assert normal.logit().std().item() == pytest.approx(1, abs=0.03)
    assert normal.logit().mean().item() == pytest.approx(0, abs=0.03)
