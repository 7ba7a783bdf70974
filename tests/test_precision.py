"""Mixed precision is the network's: what decides about latents is the same under autocast."""

from typing import Any

import numpy as np
import pytest
import torch

from lirf import params
from lirf.densify import admission, correction, restoration
from lirf.neighbours import search
from lirf.objectives import rectified

random = np.random.default_rng(0)
LATENTS_NCHW = random.normal(size=(20, 2, 4, 4)).astype(np.float32)
CANDIDATES_MCHW = random.normal(size=(30, 2, 4, 4)).astype(np.float32)
REAL_N, GROUP_N = np.arange(20) < 15, np.arange(20) // 2
BASE: dict[str, Any] = {
    "window": None,
    "reach": 0,
    "neighbours": 4,
    "temperature": 1.0,
    "dimensions": 2,
}


def corrected(operator: str, references: str) -> list[np.ndarray]:
    config = params.Correct(operator=operator, references=references, **BASE)  # pyright: ignore
    done = correction.measure(CANDIDATES_MCHW, LATENTS_NCHW, REAL_N, GROUP_N, config, 0.5)
    return [*vars(done).values()]


def found(metric: search.Metric) -> list[np.ndarray]:
    rows = (CANDIDATES_MCHW.reshape(30, -1), LATENTS_NCHW.reshape(20, -1))
    return [*search.nearest(*rows, 3, metric)]


def restored() -> list[np.ndarray]:
    latents, real = CANDIDATES_MCHW.reshape(30, -1), LATENTS_NCHW.reshape(20, -1)
    chosen = admission.thinnest(latents, real, 7)
    return [chosen, restoration.fit(latents, real, 1.0).apply(latents)]


def memorised() -> list[np.ndarray]:
    x, anchors = (torch.from_numpy(a) for a in (CANDIDATES_MCHW, LATENTS_NCHW))
    return [rectified.closed_form(x, torch.linspace(0, 0.99, 30), anchors).numpy()]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("work", "arguments"),
    [
        (corrected, ("slerp", "real")),
        (corrected, ("slerp", "bank")),
        (corrected, ("tangent", "real")),
        (found, ("cosine",)),
        (found, ("euclidean",)),
        (restored, ()),
        (memorised, ()),
    ],
)
def test_autocast_changes_no_bit(kind: torch.dtype, work: Any, arguments: tuple[str, ...]):
    plain = work(*arguments)
    with torch.autocast("cpu", kind):
        half = torch.ones(2, 2) @ torch.ones(2, 2)
        mixed = work(*arguments)
    assert half.dtype == kind  # autocast is on
    for one, other in zip(plain, mixed, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype
