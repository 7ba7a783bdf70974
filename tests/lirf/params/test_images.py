"""The section `prepare`: its mistakes."""

from pathlib import Path

import mistakes
import pytest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("images: data/digits", "images: ''", "prepare.images = '': must name a folder; put"),
        ("images: data/digits", "images: ~", "prepare.images = None: must name a folder; put"),
        ("images: data/digits", "images: 7", "prepare.images = 7: must name a folder; put digits"),
        ("  resolution: 8", "  resolution: 4", "prepare.resolution = 4: should be greater than"),
        ("  resolution: 8", "  resolution: '8'", "prepare.resolution = '8': should be a valid int"),
        ("colour: grey", "colour: gray", "prepare.colour = 'gray': should be 'grey' or 'rgb'"),
        ("flip: false", "flip: 0", "prepare.flip = 0: should be a valid boolean"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str):
    assert mistakes.line(tmp_path, old, new).startswith(message)
