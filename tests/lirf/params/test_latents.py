"""The sections `autoencoder` and `encode`: their mistakes."""

from pathlib import Path

import mistakes
import pytest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "widths: [32, 32]",
            "widths: []",
            "autoencoder.widths = []: Tuple should have at least 1 item",
        ),
        ("margin: 0.5", "margin: 1.0", "autoencoder.dino.margin = 1.0: should be less than 1"),
        ("views: 20", "views: -1", "encode.augmentation.views = -1: should be greater"),
        ("rotation: 10", "rotation: 200", "encode.augmentation.rotation = 200: should be less"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str):
    assert mistakes.line(tmp_path, old, new).startswith(message)
