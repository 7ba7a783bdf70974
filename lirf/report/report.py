"""The results of a whole run in text: the table, and the line that says how it was measured.

A *result* is a flat mapping of one trained model: `round` (its name), the metrics, `bank_rows`
(latents in the bank that it was trained on), and whatever else is known; None is "no value".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lirf.measure.table import controls, shown
from lirf.report import tables

Result = Mapping[str, Any]

HELDOUT = "held-out images"
"""The row of what they score in the samples' place."""


def table(results: Sequence[Result], protocol: str) -> str:
    """Write the results as a Markdown table with the protocol in one line beneath it.

    The last row holds what held-out images score in the samples' place.
    """
    metrics = shown(results)
    rows = [
        [result["round"], *(tables.number(result.get(m.key), m.form) for m in metrics)]
        for result in with_controls(results)
    ]
    head = ["", *(metric.head for metric in metrics)]
    return f"{tables.markdown(head, rows)}\n\n{protocol}\n"


def with_controls(results: Sequence[Result]) -> list[Result]:
    """Return results, and behind them the numbers of held-out images, if there are any."""
    found = controls(results[-1])
    return [*results, {"round": HELDOUT, **found}] if found else [*results]


def protocol_line(result: Result) -> str:
    """Say in one line how the numbers of `result` were obtained."""
    reference = {"heldout": "held-out", "train": "**training**"}[result["reference"]]
    return (
        f"{result['n_fake']} samples (seed {result['seed']}; {_source(result)}) against"
        f" {result['n_reference']} {reference} images, memorised ones sought among"
        f" {result['n_train']} training images, mirrored or not"
        f"{' (as in training)' if result['flip'] else ''}; features:"
        f" {result['features']}{_hash(result['feature_hash'])} at {result['resolution']} px"
        f" ({result['resize']}), K = {result['neighbours']}; Vendi about the mean training image;"
        f" autoencoder{_hash(result['autoencoder'])}."
    )


def _source(result: Result) -> str:
    """Say what the samples come from."""
    if result["generator"] == "mixup":
        return f"mixup of real latents with their {result['mixup_neighbours']} nearest, no network"
    if result["generator"] == "memory":
        return "real latents drawn with replacement, no network"
    steps = result["solver_steps"]
    return f"{result['solver']}, {steps} steps" if steps else f"{result['solver']}, adaptive"


def _hash(fingerprint: str | None) -> str:
    return f" {fingerprint[:12]}" if fingerprint else ""
