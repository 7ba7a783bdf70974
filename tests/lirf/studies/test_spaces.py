"""The latent spaces of a study: what a line changes, what it keeps, and its mistakes."""

from pathlib import Path
from typing import Any

import pytest

from lirf import params
from lirf.params import SpacesParams
from lirf.studies import spaces

ROOT = Path(__file__).parents[3]
SHIPPED = params.load_study(
    params.SpacesParams, ROOT / "params.yaml", ROOT / "pipeline" / "studies" / "spaces.yaml"
)


def numbers(lines: dict[str, dict[str, Any]]) -> SpacesParams:
    return SHIPPED.model_copy(update={"spaces": lines})


def test_the_shipped_lines_differ_in_what_they_say_alone():
    found = spaces.sections(SHIPPED)
    assert list(found) == list(SHIPPED.spaces)
    for name, changes in SHIPPED.spaces.items():
        assert found[name] == SHIPPED.autoencoder.model_copy(update=changes)


def test_a_mapping_keeps_what_a_line_does_not_name():
    (found,) = spaces.sections(numbers({"one": {"align": {"margin": 0.25}, "steps": 7}})).values()
    assert found.steps == 7
    assert found.align.margin == 0.25
    assert found.align.width == SHIPPED.autoencoder.align.width


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stepz": 3}, r"spaces\.odd: stepz: unknown key; did you mean `steps`"),
        ({"align": {"margin": 2}}, r"spaces\.odd: align\.margin = 2: "),
    ],
)
def test_a_mistake_is_named(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        spaces.sections(numbers({"plain": {}, "odd": changes}))
