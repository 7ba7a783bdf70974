"""The section `spiral`: its mistakes."""

from pathlib import Path

import mistakes
import pytest


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
    assert mistakes.line(tmp_path, old, new).startswith(message)
