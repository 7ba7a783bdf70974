"""The sections of what is measured, shown and exported: their mistakes."""

from pathlib import Path

import mistakes
import pytest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("generator: network", "generator: gan", "evaluate.generator = 'gan': should be 'network'"),
        ("mixup_neighbours: 3", "mixup_neighbours: 0", "evaluate.mixup_neighbours = 0: should be"),
        ("  name: #", "  name: my model #", "publish.name = 'my model': should match pattern"),
        ("licence: unknown", "licence: MIT", "publish.licence = 'MIT': should match pattern"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str):
    assert mistakes.line(tmp_path, old, new).startswith(message)
