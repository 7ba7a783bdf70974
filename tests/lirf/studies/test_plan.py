"""The plan: overrides that replace, loops of equal steps, and mistakes that are named."""

import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lirf import params
from lirf.params import recipes
from lirf.studies import plan

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
    runs = list(plan.unroll(agreed(), ROOT, "plan.yaml"))
    assert len(runs) == 4 * 2 * 2 + 4
    assert len({(r.study, r.dataset, r.method, r.seed) for r in runs}) == len(runs)
    assert [r.method for r in runs[-4:]] == [
        "space-2-8x8", "space-2-16", "space-4-8x8", "space-4-16"
    ]  # fmt: skip
    assert runs[-1].params.autoencoder.widths == (16,)


def test_a_row_wins_over_its_data_set_and_the_seed_over_both():
    runs = {
        (r.dataset, r.method, r.seed): r.params
        for r in plan.unroll(agreed(), ROOT, "plan.yaml")
        if r.study == "methods"
    }
    assert runs["faces", "plain", 0].train.batch == 16
    assert runs["faces", "lirf", 0].train.batch == 8
    assert runs["faces", "lirf", 7].initialize.seed == runs["faces", "lirf", 7].sample.seed == 7
    assert runs["faces", "lirf", 7].evaluate.seed == BASE["evaluate"]["seed"]
    assert runs["faces", "lirf", 0].prepare.images == "images/faces"
    assert runs["digits", "lirf", 0].prepare.images == BASE["prepare"]["images"]
    assert runs["digits", "steps-40", 0].models["baseline"].steps == 40


def test_a_role_is_the_model_that_has_it(tmp_path: Path):
    runs = plan.unroll(agreed(), ROOT, "plan.yaml")
    found = {(r.method, r.target) for r in runs if r.study == "methods"}
    baselines = {(name, "baseline") for name in ("plain", "steps-40", "steps-80")}
    assert found == baselines | {("lirf", "final")}
    base = copy.deepcopy(BASE)
    del base["models"]["baseline"]
    YAML().dump(base, tmp_path / "params.yaml")
    with pytest.raises(ValueError, match=r"^plan\.yaml: studies\.methods\.plain .* no baseline"):
        list(plan.unroll(agreed(), tmp_path, "plan.yaml"))


def test_a_recipe_comes_before_its_data_sets_own_numbers():
    document = changed("datasets/faces/recipe", "photo64")
    runs = plan.unroll(agreed(document), ROOT, "plan.yaml")
    faces = next(r.params for r in runs if (r.dataset, r.method) == ("faces", "plain"))
    photos = recipes.load(ROOT, "photo64").params
    limit = photos["train.refined_t_max"]
    assert faces.train.refined_t_max == limit != BASE["train"]["refined_t_max"]
    assert faces.evaluate.features == photos["evaluate.features"]
    assert (faces.prepare.resolution, faces.prepare.images) == (32, "images/faces")
    document = changed("datasets/faces/recipe", "portraits")
    with pytest.raises(ValueError, match=r"portraits\.yaml: no such recipe; there are: digits, "):
        list(plan.unroll(agreed(document), ROOT, "plan.yaml"))


def test_the_oracle_stands_behind_the_rows_that_it_chooses_among():
    found = list(plan.entries(agreed().studies["methods"]))
    assert [entry.method for entry in found] == ["plain", "steps-40", "steps-80", "oracle", "lirf"]
    assert "oracle" in found[3].label
    assert plan.ORACLE not in {r.method for r in plan.unroll(agreed(), ROOT, "plan.yaml")}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("headline", "method", "headline = method: there is no such study"),
        ("judged", "lirff", "judged = lirff: no row of study methods"),
        ("targets", [{"metric": "copy", "at_most": 1}], "metric = copy: no such metric; there"),
        ("targets", [{"metric": "memorised"}], "needs `at_least` or `at_most`"),
        ("targets", [{"metric": "recall", "against": "x", "at_least": 1}], "targets.0.against = x"),
        (
            "targets",
            [{"metric": "recall", "heldout": "ratio", "at_least": 1}],
            "recall: held-out images have no such number",
        ),
        (
            "targets",
            [{"metric": "sharpness", "heldout": "ratio", "against": "plain", "at_least": 1}],
            "`heldout` goes with neither `against` nor `distance_from`; remove one",
        ),
        ("studies/methods/rows/lirf/target", "final", "target = 'final': should be 'loop' or"),
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
        list(plan.unroll(agreed(document), ROOT, "plan.yaml"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_projects_own_plan_fits_its_params():
    path = ROOT / "pipeline" / "studies" / "comparison.yaml"
    own = plan.load(path)
    runs = list(plan.unroll(own, ROOT, str(path)))
    shipped = next(r for r in runs if (r.dataset, r.method, r.seed) == ("digits", own.judged, 0))
    assert shipped.params == params.load(ROOT / "params.yaml")
