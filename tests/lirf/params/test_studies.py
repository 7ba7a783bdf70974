"""A study's own file beside params.yaml: read as one, and its mistakes."""

from pathlib import Path

import pytest

from lirf import params

ROOT = Path(__file__).parents[3]
STUDIES = {
    "pretrain": params.PretrainParams,
    "spaces": params.SpacesParams,
    "spiral": params.SpiralParams,
}


@pytest.mark.parametrize(("name", "model"), STUDIES.items())
def test_a_study_is_params_and_its_own_section(name: str, model: type[params.Params]):
    own = ROOT / "pipeline" / "studies" / f"{name}.yaml"
    found = params.load_study(model, ROOT / "params.yaml", own).model_dump()
    assert found.pop(name)
    assert found == params.load(ROOT / "params.yaml").model_dump()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  jitter: 0.25", "  jiter: 0.25", "spiral.jiter: unknown key; did you mean `jitter`?"),
        (
            "  cooldown: 1500",
            "  cooldown: 1501",
            "spiral.cooldown = 1501: must not exceed 1500, what spiral.steps leave for the last",
        ),
        (
            "  steps: 6000",
            "  steps: 1 #",
            "spiral.steps = 1: must be at least 2, one for each model of spiral.loop",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str):
    text = (ROOT / "pipeline" / "studies" / "spiral.yaml").read_text()
    assert old in text
    own = tmp_path / "spiral.yaml"
    own.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=r"spiral\.yaml: spiral\.") as caught:
        params.load_study(params.SpiralParams, ROOT / "params.yaml", own)
    assert str(caught.value).startswith(f"{own}: {message}")
    assert "\n" not in str(caught.value)


def test_a_section_of_params_has_no_place_in_a_studys_file(tmp_path: Path):
    own = tmp_path / "spiral.yaml"
    own.write_text("spiral: {}\ntrain: {}\n")
    with pytest.raises(ValueError, match=r"spiral\.yaml: train: is a section of \S+params\.yaml; "):
        params.load_study(params.SpiralParams, ROOT / "params.yaml", own)


def test_mistakes_in_params_are_named_as_its_own(tmp_path: Path):
    main = tmp_path / "params.yaml"
    main.write_text((ROOT / "params.yaml").read_text().replace("  ratio: 10", "  ratio: 0"))
    with pytest.raises(ValueError, match=r"params\.yaml: sample\.ratio = 0: "):
        params.load_study(params.SpiralParams, main, ROOT / "pipeline/studies/spiral.yaml")
