"""The loop learns, and nothing but its state decides what comes next."""

import copy
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from lirf import params
from lirf.networks.condition import NULL, Condition
from lirf.objectives import rectified
from lirf.objectives.base import Field
from lirf.objectives.rectified import Prediction, Rectified
from lirf.store.space import Space
from lirf.training import checkpoint, loop
from lirf.training import state as states
from lirf.training.batches import Augmented
from lirf.training.state import State

CPU = torch.device("cpu")
POINTS = Space("points", (2, 1, 1), (0.0, 0.0), (1.0, 1.0))
TRAIN = params.Train(
    batch=16,
    accumulate=1,
    precision="float32",
    compile=False,
    processes=1,
    learning_rate=3e-3,
    betas=(0.9, 0.999),
    weight_decay=0.0,
    clip_norm=1.0,
    ema_decay=0.98,
    times="uniform",
    start="warm",
    augment_share=0.0,
    jitter=0.0,
    refined_t_max=1.0,
    real_share=None,
    checkpoint_every=10,
    stop_on=params.StopOn(rule="never", threshold=0.0, every=1, samples=1, path_steps=1),
)
PERCEPTRON = params.MLP(kind="mlp", width=48, depth=2)
TRANSFORMER = params.Transformer(kind="transformer", patch=1, width=16, depth=1, heads=2)


def start(
    network: params.MLP | params.Transformer = PERCEPTRON,
    prediction: Prediction = "velocity",
    seed: int = 0,
    labels: int = 0,
) -> State:
    config = params.Initialize(seed=seed, prediction=prediction, network=network)
    return states.initial(config, POINTS, CPU, labels)


def points(count: int = 8) -> torch.Tensor:
    angle = torch.arange(count) * (2 * torch.pi / count)
    return 2 * torch.stack([angle.cos(), angle.sin()], dim=1).view(count, 2, 1, 1)


def run(state: State, steps: int, config: params.Train = TRAIN) -> list[float]:
    return [loss for _, loss in loop.train(state, points(), config, steps)]


def bits(state: State) -> dict[str, torch.Tensor]:
    """Return everything that the next step depends on."""
    tensors = {f"network.{k}": v for k, v in state.network.state_dict().items()}
    tensors |= {f"ema.{k}": v for k, v in state.ema.state_dict().items()}
    tensors |= state.moments
    tensors |= {"generator": state.generator.get_state(), "step": torch.tensor(state.step)}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def assert_same(one: State, other: State) -> None:
    mine, theirs = bits(one), bits(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


@pytest.mark.parametrize("prediction", ["velocity", "data"])
def test_it_overfits_eight_points(prediction: Prediction):
    state = start(prediction=prediction)
    run(state, 600)
    anchors = points()
    generator = torch.Generator().manual_seed(1)
    x1 = anchors[torch.randint(8, (2000,), generator=generator)]
    x0 = torch.randn(x1.shape, generator=generator)
    t = 0.9 * torch.rand(2000, generator=generator)

    def loss(field: Field) -> float:
        return Rectified("velocity").loss(lambda x, t, _: field(x, t), x0, x1, t, NULL).item()

    learned, least = (
        loss(state.field),
        loss(lambda x, t: rectified.closed_form(x, t, anchors)),
    )
    still = loss(lambda x, _: torch.zeros_like(x))
    assert learned - least < 0.3 * (still - least)


def test_with_every_option_too_k_steps_and_k_more_are_2k_steps(tmp_path: Path):
    options = {"augment_share": 0.3, "jitter": 0.1, "real_share": 0.3}
    config = TRAIN.model_copy(update=options)
    more = Augmented(points(5) + 1, torch.ones(5, 2)), torch.arange(8) < 3
    whole, half = start(labels=2), start(labels=2)
    losses = list(loop.train(whole, points(), config, 14, *more))
    first = list(loop.train(half, points(), config, 7, *more))
    checkpoint.save(half, tmp_path / "half")
    loaded = checkpoint.load(tmp_path / "half", CPU)
    assert first + list(loop.train(loaded, points(), config, 7, *more)) == losses
    assert_same(whole, loaded)


@pytest.mark.parametrize("network", [PERCEPTRON, TRANSFORMER])
@pytest.mark.parametrize("steps", [7, 30])  # below and above the steps between looks
def test_k_steps_saved_loaded_and_k_more_are_2k_steps(tmp_path: Path, network, steps: int):
    whole, halves = start(network), start(network)
    losses = run(whole, 2 * steps)
    first = run(halves, steps)
    checkpoint.save(halves, tmp_path / "half")
    loaded = checkpoint.load(tmp_path / "half", CPU)
    assert_same(halves, loaded)
    assert first + run(loaded, steps) == losses
    assert_same(whole, loaded)


@pytest.mark.parametrize("clip", [0.5, None])
def test_a_step_is_that_of_torch_s_adamw(clip: float | None):
    config = TRAIN.model_copy(update={"weight_decay": 0.1, "clip_norm": clip})
    state = start()
    network = copy.deepcopy(state.network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.1, fused=True)
    generator = torch.Generator()
    generator.set_state(state.generator.get_state())
    list(loop.train(state, points(), config, 50))
    for _ in range(50):
        x1 = points()[torch.randint(8, (16,), generator=generator)]
        x0 = torch.randn(x1.shape, generator=generator)
        t = torch.rand(16, generator=generator)
        optimizer.zero_grad()
        state.objective.loss(network, x0, x1, t, NULL).backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
    for name, weight in network.named_parameters():
        assert torch.equal(bits(state)[f"network.{name}"], weight.detach()), name
        for moment in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(state.moments[f"{name}.{moment}"], optimizer.state[weight][moment])


def test_without_options_the_generator_draws_rows_noise_and_times_alone():
    state = start()
    replay = torch.Generator()
    replay.set_state(state.generator.get_state())
    run(state, 5)
    for _ in range(5):
        torch.randint(8, (16,), generator=replay)
        torch.randn(16, 2, 1, 1, generator=replay)
        torch.rand(16, generator=replay)
    assert torch.equal(replay.get_state(), state.generator.get_state())


@pytest.mark.parametrize("network", [PERCEPTRON, TRANSFORMER])
def test_labels_that_are_never_given_change_nothing(network):
    plain, told = start(network), start(network, labels=3)
    assert "labels" not in plain.config
    assert run(plain, 20) == run(told, 20)
    for name, weight in plain.network.state_dict().items():
        assert torch.equal(told.network.state_dict()[name], weight), name


def trained_on(
    latents: torch.Tensor,
    augmented: Augmented | None = None,
    real: torch.Tensor | None = None,
    batch: int = 16,
    **options: float,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return what 30 steps were trained on, step by step: latents in thousands, and labels.

    Of latents in the thousands the noise on the path hides little; the few early times are left
    out.
    """
    state = start(labels=2)
    latents_seen, labels_seen = list[torch.Tensor](), list[torch.Tensor]()

    def look(_module, inputs):
        x_BCHW, t_B, condition = inputs
        late_B = t_B > 0.02
        latents_seen.append(x_BCHW[late_B, 0, 0, 0] / t_B[late_B] / 1000)
        labels_seen.append(condition.augmentation[late_B])

    state.network.register_forward_pre_hook(look)
    config = TRAIN.model_copy(update={**options, "batch": batch})
    list(loop.train(state, latents, config, 30, augmented, real))
    return latents_seen, labels_seen


def thousands(*values: float) -> torch.Tensor:
    return 1000 * torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 2, 1, 1)


def test_augmented_rows_come_with_their_labels_in_their_share():
    labels = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    augmented = Augmented(thousands(5, 7), labels)
    seen = trained_on(thousands(1, 3), augmented, batch=200, augment_share=0.25)
    rows, told = (torch.cat(steps) for steps in seen)
    expected = torch.tensor([[0.0, 0], [0, 0], [1, 2], [3, 4]])
    drawn = ((rows - 1) / 2).round().long()
    assert torch.equal(told, expected[drawn])
    shares = torch.bincount(drawn) / len(drawn)
    assert shares.tolist() == pytest.approx([0.375, 0.375, 0.125, 0.125], abs=0.03)


@pytest.mark.parametrize(("share", "reals"), [(0.25, {4}), (0.0, {0}), (1.0, {16}), (0.3, {4, 5})])
def test_the_share_of_real_rows_is_that_of_every_batch(share: float, reals: set[int]):
    state, counts = start(), list[int]()
    latents, real = thousands(1, 1, 1, 3, 3), torch.tensor([False, False, False, True, True])

    def look(_module, inputs):
        counts.append(int((inputs[0][:, 0, 0, 0] > 2000 * inputs[1]).sum()))

    state.network.register_forward_pre_hook(look)
    config = TRAIN.model_copy(update={"real_share": share, "times": "logit-normal"})
    list(loop.train(state, latents, config, 60, real_N=real))
    assert set(counts) == reals
    assert sum(counts) / 60 == pytest.approx(16 * share, abs=0.2)


def test_rows_of_a_kind_are_equally_likely():
    real = torch.tensor([False, True, False, True])
    seen, _ = trained_on(thousands(0, 1, 2, 3), real=real, batch=200, real_share=0.8)
    rows = torch.cat(seen).round().clamp(0, 3).long()
    shares = torch.bincount(rows) / len(rows)
    assert shares.tolist() == pytest.approx([0.1, 0.4, 0.1, 0.4], abs=0.03)


def test_a_bank_without_refined_rows_is_drawn_from_as_ever():
    plain, shared = start(), start()
    run(plain, 5)
    config = TRAIN.model_copy(update={"real_share": 0.5})
    list(loop.train(shared, points(), config, 5, real_N=torch.ones(8, dtype=torch.bool)))
    assert_same(plain, shared)


def test_jitter_is_fresh_noise_of_its_size_on_every_row():
    labels, augmented = torch.ones(1, 2), thousands(5)
    seen, told = trained_on(
        thousands(5),
        Augmented(augmented, labels),
        batch=200,
        jitter=500.0,
        augment_share=0.5,
    )
    rows, is_augmented = torch.cat(seen), torch.cat(told)[:, 0] > 0
    assert len(rows.unique()) > 0.99 * len(rows)
    for kind in (rows[is_augmented], rows[~is_augmented]):
        assert kind.mean().item() == pytest.approx(5, abs=0.1)
        assert kind.std().item() == pytest.approx(0.5, abs=0.05)


def test_a_model_that_is_told_of_augmentation_keeps_it_out_of_its_samples():
    far, labels = torch.full((1, 2, 1, 1), 6.0), torch.ones(1, 1)
    config = TRAIN.model_copy(update={"augment_share": 0.5, "batch": 64})
    told = start(labels=1)
    list(loop.train(told, points(), config, 400, Augmented(far, labels)))
    x, t = torch.randn(200, 2, 1, 1), torch.zeros(200)
    with torch.no_grad():
        conditions = (NULL, Condition(labels.expand(200, 1)))
        plain, moved = (told.ema(x, t, condition).mean() for condition in conditions)
    assert abs(plain.item()) < 0.5  # towards the points, whose mean is 0
    assert moved.item() == pytest.approx(6, abs=0.5)


def test_a_network_without_labels_is_not_trained_on_augmented_rows():
    config = TRAIN.model_copy(update={"augment_share": 0.5})
    augmented = Augmented(points(), torch.ones(8, 2))
    with pytest.raises(ValueError, match="labels of 2 numbers: this network was built for 0"):
        list(loop.train(start(), points(), config, 1, augmented))


def test_another_learning_rate_does_not_stick():
    one, other = start(), start()
    run(one, 5)
    run(other, 5)
    run(one, 5, TRAIN.model_copy(update={"learning_rate": 1e-2}))
    run(other, 5, TRAIN.model_copy(update={"learning_rate": 1e-2}))
    assert_same(one, other)
    run(one, 5)
    run(other, 5, TRAIN.model_copy(update={"learning_rate": 1e-4}))
    assert not torch.equal(bits(one)["network.output.weight"], bits(other)["network.output.weight"])


@given(last=st.integers(1, 10_000), steps=st.integers(0, 10_000))
def test_a_cooldown_falls_in_a_line_from_one_and_stops_nowhere(last: int, steps: int):
    rate = loop.cooldown(last, steps)
    assert rate(last) == pytest.approx(1 / (steps + 1))
    assert rate(max(last - steps, 0)) == 1 or steps > last
    assert rate(last - steps) == rate(last - steps - 1) == 1
    if steps > 1:
        fall = rate(last - 1) - rate(last)
        assert fall == pytest.approx(1 / (steps + 1))
        assert rate(last - steps + 1) == pytest.approx(1 - fall)


def test_the_learning_rate_of_a_step_is_that_of_its_schedule():
    cooled, lower = start(), start()
    list(loop.train(cooled, points(), TRAIN, 6, schedule=lambda step: 0.5 if step > 3 else 1.0))
    run(lower, 3)
    half = TRAIN.model_copy(update={"learning_rate": TRAIN.learning_rate / 2})
    run(lower, 3, half)
    assert_same(cooled, lower)
    constant = start()
    run(constant, 6)
    assert not torch.equal(
        bits(constant)["network.output.weight"], bits(cooled)["network.output.weight"]
    )


def test_steps_are_counted_over_all_calls():
    state = start()
    assert [step for step, _ in loop.train(state, points(), TRAIN, 30)] == [*range(1, 31)]
    assert [step for step, _ in loop.train(state, points(), TRAIN, 2)] == [31, 32]
    assert state.step == 32


def test_the_average_is_that_of_the_weights_of_every_step():
    state = start()
    expected = copy.deepcopy(state.network.state_dict())
    for _ in range(12):
        run(state, 1)
        for name, weight in state.network.state_dict().items():
            expected[name].lerp_(weight, 1 - TRAIN.ema_decay)
    for name, average in state.ema.state_dict().items():
        torch.testing.assert_close(average, expected[name])
    assert not torch.equal(expected["embed.weight"], state.network.state_dict()["embed.weight"])


def test_clipping_bounds_what_a_spike_does():
    far = points() * 1e4
    calm, wild = start(), start()
    for state, clip in ((calm, 1e-3), (wild, None)):
        list(loop.train(state, far, TRAIN.model_copy(update={"clip_norm": clip}), 1))
    moment = "output.bias.exp_avg"
    assert bits(calm)[moment].norm() < 1e-3 < bits(wild)[moment].norm()


def test_a_loss_that_is_not_finite_stops_at_its_very_step(tmp_path: Path):
    state = start()
    run(state, 3)
    checkpoint.save(state, tmp_path / "good")
    latents = points()
    latents[5, 0] = float("nan")
    replay = torch.Generator()
    replay.set_state(state.generator.get_state())
    config = TRAIN.model_copy(update={"batch": 1})
    guilty = 4
    while torch.randint(8, (1,), generator=replay).item() != 5:
        torch.randn(1, 2, 1, 1, generator=replay)
        torch.rand(1, generator=replay)
        guilty += 1
    with pytest.raises(ValueError, match=rf"^step {guilty}: the loss is nan; lower train\.learn"):
        list(loop.train(state, latents, config, 200))
    with pytest.raises(ValueError, match=r"the weights .* are not finite"):
        checkpoint.save(state, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    assert run(checkpoint.load(tmp_path / "good", CPU), 3)


@pytest.mark.parametrize("network", [PERCEPTRON, TRANSFORMER])
def test_a_batch_in_parts_is_the_batch(network: params.MLP | params.Transformer):
    """Gradients of three parts of unequal size add up to those of all rows at once."""
    whole, parts = start(network), start(network)
    losses = run(whole, 5)
    torch.testing.assert_close(
        run(parts, 5, TRAIN.model_copy(update={"accumulate": 3})), losses, rtol=1e-4, atol=1e-5
    )
    for name, weight in whole.network.state_dict().items():
        torch.testing.assert_close(parts.network.state_dict()[name], weight, atol=1e-3, rtol=1e-2)


def test_products_in_bfloat16_are_near_and_all_that_is_kept_is_float32():
    exact, cast = start(), start()
    losses = run(cast, 5, TRAIN.model_copy(update={"precision": "bfloat16"}))
    expected = run(exact, 5)
    assert losses != expected
    torch.testing.assert_close(losses, expected, rtol=0.05, atol=0.05)
    assert {tensor.dtype for tensor in cast.moments.values()} == {torch.float32}
    assert {weight.dtype for weight in cast.network.parameters()} == {torch.float32}
