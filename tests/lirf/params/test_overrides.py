"""Changes of params.yaml: values that replace, and loops of equal steps in all."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf import params
from lirf.params import overrides

BASE = params.read(Path(__file__).parents[3] / "params.yaml")


@given(steps=st.integers(1, 10_000), rounds=st.integers(1, 20))
def test_any_loop_has_equal_steps_in_all(steps: int, rounds: int):
    changes = {"loop.steps": steps, "loop.rounds": rounds}
    own = [BASE["models"][name]["steps"] for name in BASE["rounds"]]
    whole = BASE["models"]["baseline"]["steps"]
    even = [steps // (rounds + 1)] * rounds
    expected = [share * steps // whole for share in own] if rounds == len(own) else even
    if min(expected) == 0:
        with pytest.raises(ValueError, match=rf"^here: loop: {steps} steps in all are too few"):
            overrides.override(BASE, changes, "here")
        return
    numbers = params.validate(params.Params, overrides.override(BASE, changes, "here"), "here")
    loop = [model.steps for name, model in numbers.models.items() if name != "baseline"]
    assert numbers.models["baseline"].steps == sum(loop) == steps
    assert len(numbers.rounds) == rounds
    assert loop[:-1] == expected  # what is left over is the last model's
    cooldown = BASE["models"]["final"]["cooldown"] * steps // whole
    assert numbers.models["final"].cooldown == min(cooldown, loop[-1])
    lambdas = [round_.lambda_ for round_ in numbers.rounds.values()]
    assert lambdas == sorted(lambdas, reverse=True)
    assert lambdas[0] == BASE["rounds"]["r01"]["lambda"]
    if rounds > 1:
        assert lambdas[-1] == BASE["rounds"]["r03"]["lambda"]


@pytest.mark.parametrize(
    ("value", "expected"), [(0.4, [0.4, 0.4, 0.4]), ([0.9, 0.1], [0.9, 0.5, 0.1])]
)
def test_lambda_is_fixed_or_falls(value: Any, expected: list[float]):
    document = overrides.override(BASE, {"loop.lambda": value}, "here")
    assert [round_["lambda"] for round_ in document["rounds"].values()] == expected
    assert document["models"] == BASE["models"]


def test_only_the_length_changes_where_only_the_length_is_given():
    document = overrides.override(BASE, {"loop.steps": BASE["models"]["baseline"]["steps"]}, "here")
    assert document == BASE


def test_a_share_is_of_the_steps_whatever_their_number():
    third = overrides.override(BASE, {"loop.steps": 9000, "loop.share": 1 / 3}, "here")
    assert third == overrides.override(BASE, {"loop.steps": 3000}, "here")
    with pytest.raises(ValueError, match=r"^here: loop: share = 1\.5"):
        overrides.override(BASE, {"loop.share": 1.5}, "here")


def test_the_base_is_left_alone():
    before = copy.deepcopy(BASE)
    changes = {"autoencoder.widths": [4], "loop.rounds": 2}
    overrides.override(BASE, changes, "here")["train"]["batch"] = 1
    assert before == BASE
