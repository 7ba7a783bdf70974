"""The plan: overrides that replace, loops of equal steps, and mistakes that are named."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf import params
from lirf.studies import overrides, plan

ROOT = Path(__file__).parents[3]
BASE = params.read(ROOT / "params.yaml")
PLAN: dict[str, Any] = {
    "seed_keys": ["initialize.seed", "sample.seed"],
    "headline": "methods",
    "reference": "plain",
    "judged": "lirf",
    "datasets": {
        "digits": {},
        "faces": {"images": "elsewhere", "params": {"prepare.resolution": 32, "train.batch": 16}},
    },
    "studies": {
        "methods": {
            "title": "Methods",
            "datasets": ["digits", "faces"],
            "seeds": [0, 7],
            "rows": {
                "plain": {"label": "plain", "target": "baseline"},
                "steps": {
                    "label": "plain, {} steps",
                    "target": "baseline",
                    "oracle_of": "plain",
                    "grid": {"loop.steps": [40, 80]},
                },
                "lirf": {"label": "LIRF", "params": {"train.batch": 8}},
            },
        },
        "space": {
            "title": "Space",
            "datasets": ["digits"],
            "seeds": [0],
            "rows": {
                "space": {
                    "label": "{} channels, {}",
                    "grid": {
                        "autoencoder.latent_channels": [2, 4],
                        "autoencoder.widths": [[8, 8], [16]],
                    },
                }
            },
        },
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the plan with one value replaced, or removed where it is None."""
    document = copy.deepcopy(PLAN)
    *folders, last = path.split("/")
    section = document
    for folder in folders:
        section = section[folder]
    if value is None:
        del section[last]
    else:
        section[last] = value
    return document


def agreed(document: dict[str, Any] = PLAN) -> plan.Plan:
    return params.validate(plan.Plan, document, "plan.yaml")


def test_every_combination_is_a_run():
    runs = list(plan.unroll(agreed(), BASE, "plan.yaml"))
    assert len(runs) == 4 * 2 * 2 + 4
    assert len({(r.study, r.dataset, r.method, r.seed) for r in runs}) == len(runs)
    assert [r.method for r in runs[-4:]] == [
        "space-2-8x8", "space-2-16", "space-4-8x8", "space-4-16"
    ]  # fmt: skip
    assert runs[-1].params.autoencoder.widths == (16,)


def test_a_row_wins_over_its_data_set_and_the_seed_over_both():
    runs = {
        (r.dataset, r.method, r.seed): r.params
        for r in plan.unroll(agreed(), BASE, "plan.yaml")
        if r.study == "methods"
    }
    assert runs["faces", "plain", 0].train.batch == 16
    assert runs["faces", "lirf", 0].train.batch == 8
    assert runs["faces", "lirf", 7].initialize.seed == runs["faces", "lirf", 7].sample.seed == 7
    assert runs["faces", "lirf", 7].evaluate.seed == BASE["evaluate"]["seed"]
    assert runs["faces", "lirf", 0].prepare.images == "images/faces"
    assert runs["digits", "lirf", 0].prepare.images == BASE["prepare"]["images"]
    assert runs["digits", "steps-40", 0].models["baseline"].steps == 40


def test_the_oracle_stands_behind_the_rows_that_it_chooses_among():
    found = list(plan.entries(agreed().studies["methods"]))
    assert [entry.method for entry in found] == ["plain", "steps-40", "steps-80", "oracle", "lirf"]
    assert "oracle" in found[3].label
    assert plan.ORACLE not in {r.method for r in plan.unroll(agreed(), BASE, "plan.yaml")}


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


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("headline", "method", "headline = method: there is no such study"),
        ("judged", "lirff", "judged = lirff: no row of study methods"),
        ("targets", [{"metric": "copy", "at_most": 1}], "copy: no such metric; there are mem"),
        ("targets", [{"metric": "memorised"}], "needs `at_least` or `at_most`"),
        ("contests", [{"against": "x", "on": ["memorised"]}], "contests.0.against = x: no row"),
        ("studies/methods/datasets", ["digit"], "studies.methods.datasets: digit: no such data"),
        ("studies/methods/rows/steps/label", "steps", "needs a {} for each of the 1 keys"),
        ("studies/methods/rows/steps/oracle_of", "plane", "oracle_of = plane: no such row"),
        ("studies/methods/rows/steps-40", {"label": "x"}, "two rows would be called steps-40"),
        ("studies/methods/rows/lirf", {"lable": "x"}, "lable: unknown key; did you mean `label`"),
        ("studies/methods/seeds", None, "studies.methods.seeds is missing; add it"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_plan_is_one_line(path: str, value: Any, message: str):
    with pytest.raises(ValueError, match=r"^plan\.yaml: ") as caught:
        agreed(changed(path, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.jiter", 0.1, "train.jiter: unknown key; did you mean"),
        ("train.batch", 0, "train.batch = 0: should be greater than or equal to 1"),
        ("train.batch.size", 1, "train.batch.size: batch is no section of params.yaml"),
        ("loop.round", 1, "round: unknown key; did you mean `rounds`"),
        ("loop.lambda", 2, "lambda"),
    ],
)
def test_a_mistake_in_an_override_names_the_row(key: str, value: Any, message: str):
    document = changed("studies/methods/rows/lirf/params", {key: value})
    with pytest.raises(
        ValueError, match=r"^plan\.yaml: studies\.methods\.lirf on digits"
    ) as caught:
        list(plan.unroll(agreed(document), BASE, "plan.yaml"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_projects_own_plan_fits_its_params():
    path = ROOT / "pipeline" / "studies" / "comparison.yaml"
    own = plan.load(path)
    runs = list(plan.unroll(own, BASE, str(path)))
    shipped = next(r for r in runs if (r.dataset, r.method, r.seed) == ("digits", own.judged, 0))
    assert shipped.params == params.load(ROOT / "params.yaml")
