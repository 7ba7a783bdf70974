"""The section `train`: its mistakes."""

from pathlib import Path

import mistakes
import pytest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  processes: 1", "  processes: 3", "train.processes = 3: must divide train.batch = 64"),
        ("  processes: 1", "  processes: 0", "train.processes = 0: should be greater than"),
        (
            "  accumulate: 1",
            "  accumulate: 65",
            "train.accumulate = 65: must not exceed train.batch = 64",
        ),
        (
            "  compile: false # by",
            "  compile: 0 # by",
            "train.compile = 0: should be a valid boolean",
        ),
        ("  - 0.999\n", "", "train.betas"),
        ("  - 0.999\n", "  - 1.0\n", "train.betas.1 = 1.0: should be less than 1"),
        ("checkpoint_every: 500", "checkpoint_every: -500", "train.checkpoint_every = -"),
        ("augment_share: 0.5", "augment_share: 1.2", "train.augment_share = 1.2: should be less"),
        ("jitter: 0.0", "jitter: -0.1", "train.jitter = -0.1: should be greater"),
        ("real_share: 0.2", "real_share: 2.0", "train.real_share = 2.0: should be less"),
        ("refined_t_max: 1.0", "refined_t_max: 0", "train.refined_t_max = 0: should be greater"),
        ("start: warm", "start: cold", "train.start = 'cold': should be 'warm' or 'fresh'"),
        ("rule: never", "rule: often", "train.stop_on.rule = 'often': should be 'never' or"),
        ("threshold: 0.05", "threshold: 1.0", "train.stop_on.threshold = 1.0: should be less than"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str):
    assert mistakes.line(tmp_path, old, new).startswith(message)
