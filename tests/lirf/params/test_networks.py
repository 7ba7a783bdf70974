"""The section `initialize`: its mistakes, and those within a union."""

from pathlib import Path

import mistakes
import pytest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "kind: transformer, patch:",
            "kind: transformer, pach:",
            "initialize.network.pach: unknown key; did you mean `patch`?",
        ),
        (
            "kind: transformer",
            "kind: former",
            "initialize.network.kind = 'former': must be one of 'transformer', 'unet', 'mlp'",
        ),
        ("depth: 4", "depth: 0", "initialize.network.depth = 0: should be greater"),
        (
            "kind: transformer, patch: 2, ",
            "kind: transformer, ",
            "initialize.network.patch is missing; add it",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str):
    assert mistakes.line(tmp_path, old, new).startswith(message)
