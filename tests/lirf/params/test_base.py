"""What all sections are made of: strict, frozen, of known keys, within bounds."""

import pytest
from pydantic import ValidationError

from lirf import params
from lirf.params.base import Decay, Name, Section


class Small(Section):
    decay: Decay
    name: Name


def test_a_section_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Small(decay=0.5, name="a").decay = 0.6


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"decay": 1.0, "name": "a"}, "decay = 1.0: should be less than 1"),
        ({"decay": "0.5", "name": "a"}, "decay = '0.5': should be a valid number"),
        ({"decay": 0.5, "name": "A-b"}, "name = 'A-b': should match pattern"),
        ({"decay": 0.5, "name": "a", "names": 1}, "names: unknown key; did you mean `name`"),
    ],
)
def test_nothing_is_bent_into_shape(document: dict, message: str):
    with pytest.raises(ValueError, match=r"^x: ") as caught:
        params.validate(Small, document, "x")
    assert str(caught.value).startswith(f"x: {message}")
