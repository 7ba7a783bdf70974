"""The sections of a round, and the lines of `rounds` and `models`: their mistakes."""

from pathlib import Path

import mistakes
import pytest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "r00, lambda: 0.6}",
            "r00, lambda: 1.8}",
            "rounds.r01.lambda = 1.8: should be less than or equal to 1",
        ),
        (
            "{after: r00, lambda: 0.6}",
            "{after: r00, lamda: 0.5}",
            "rounds.r01.lamda: unknown key; did you mean `lambda`?",
        ),
        ("  tau: 0.1", "  tau: .nan", "admit.tau = nan: should be"),
        (
            "  dimensions: 2",
            "  dimensions: 4",
            "correct.dimensions = 4: must be below correct.neighbours = 4,",
        ),
        (
            "2400, cooldown: 1200",
            "2400, cooldown: 0, refined_t_max: 1.5",
            "models.final.refined_t_max = 1.5: should be less than or equal to 1",
        ),
        ("2400, cooldown: 1200", "2400, cooldown: -1", "models.final.cooldown = -1: should be"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str):
    assert mistakes.line(tmp_path, old, new).startswith(message)
