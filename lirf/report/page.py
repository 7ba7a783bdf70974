"""The report page: one HTML file that answers whether the samples are good and new.

It holds everything that it shows and asks nothing of any network. `page.html`, `page.css` and
`page.js` beside this file are its skeleton, its looks and its few movements; all text goes through
Jinja's escaping, data for the script through `_json`. The same content gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from lirf.measure import table
from lirf.measure.verdict import Verdict
from lirf.report import report, tables
from lirf.report.cards import Cards, Document, Measured
from lirf.store.lineage import Lineage

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Neighbour:
    """A training image that a sample is near to."""

    id: str
    mirrored: bool
    distance: float


@dataclass(frozen=True)
class Sample:
    """A sample of a model, as a data URI, with its nearest training images, nearest first."""

    picture: str
    origin: int | str  # its seed; of samples that other tools made, its file
    ratio: float
    memorised: bool
    nearest: Sequence[Neighbour]


@dataclass(frozen=True)
class Descent:
    """The bank, which of its rows are shown by round, and pictures of them and their ancestors."""

    rows: Sequence[Document]  # id, kind, source, round, lambda, displacement, novelty, seed
    lineage: Lineage
    shown: Mapping[str, Sequence[int]]
    pictures: Mapping[int, str]  # data URIs by place; those of real rows are the images themselves


@dataclass(frozen=True)
class Content:
    """All that the page shows."""

    subject: str  # what the images are
    verdict: Verdict
    protocol: Document  # of the final model
    measured: Measured
    cards: Cards
    samples: Mapping[str, Sequence[Sample]]
    images: Mapping[str, tuple[str, str]]  # training images by id: data URI and file
    descent: Descent | None  # None of samples that other tools made
    facts: Sequence[tuple[str, Document]]  # further documents of the protocol, by file
    pixelated: bool  # whether pictures are so small that their pixels are to be seen
    line: str = ""  # how all was measured, where `report.protocol_line` does not say it
    nearest: Sequence[Sample] = ()  # those nearest to training images, nearest first


def render(content: Content) -> str:
    """Return the page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    measured = content.measured
    found = table.controls(measured.rows[measured.final])
    controls = found and {metric.key: found.get(metric.key) for metric in table.METRICS}
    loop, ours = measured.loop, content.descent is not None
    return environment.from_string((HERE / "page.html").read_text()).render(
        content=content,
        verdict=content.verdict,
        style=_safe((HERE / "page.css").read_text()),
        script=_safe((HERE / "page.js").read_text()),
        models=[*measured.baselines, *loop],
        final=measured.final,
        baseline=measured.baseline,
        columns=[
            metric
            for metric in table.shown(measured.rows.values())
            if ours or metric in table.MEASURED
        ],
        ours=ours,
        brand="LIRF report" if ours else "LIRF score",
        controls=controls,
        heldout=report.HELDOUT,
        cell=tables.number,
        admissions=[measured.rows[name] for name in loop if "admitted" in measured.rows[name]],
        protocol_line=content.line or report.protocol_line(content.protocol).replace("**", ""),
        label=_label,
        data=_json(
            _sample_data(content), _descent_data(content.descent) if content.descent else {}
        ),
    )


def _label(place: int, sample: Sample, images: Mapping[str, tuple[str, str]]) -> str:
    """Say what a sample is to who cannot see it."""
    nearest = sample.nearest[0]
    what = "memorised:" if sample.memorised else "nearest to"
    return f"Sample {place + 1}, {what} {images[nearest.id][1]}, ratio {sample.ratio:.2f}"


def _sample_data(content: Content) -> dict[str, Any]:
    """Return what the script shows of a sample that is picked."""
    needed = {
        near.id for samples in content.samples.values() for one in samples for near in one.nearest
    }
    return {
        "samples": {
            model: [
                {
                    "origin": str(one.origin),  # more digits than the script's numbers have
                    "ratio": one.ratio,
                    "memorised": one.memorised,
                    "nearest": [[near.id, near.mirrored, near.distance] for near in one.nearest],
                }
                for one in samples
            ]
            for model, samples in content.samples.items()
        },
        "images": {id_: content.images[id_] for id_ in sorted(needed)},
    }


def _descent_data(descent: Descent) -> dict[str, Any]:
    """Return what the script shows of a latent that is picked, and of its ancestors."""
    shown = [place for places in descent.shown.values() for place in places]
    rows = {}
    for place in descent.lineage.ancestors(shown):
        row = descent.rows[place]
        rows[place] = {
            "name": row["source"] if row["kind"] == "real" else row["id"],
            "round": row["round"],
            "mirrored": bool(row["flip"]),
            "picture": descent.pictures[place],
            "parents": list(
                zip(descent.lineage.parents[place], descent.lineage.weights[place], strict=True)
            ),
        }
    for place in shown:
        row = descent.rows[place]
        rows[place] |= {
            "lambda": row["lambda"],
            "displacement": row["displacement"],
            "novelty": row["novelty"],
            "seed": str(row["seed"]),
            "shares": list(descent.lineage.shares(place).items()),
        }
    return {"latents": rows}


def _json(*documents: Mapping[str, Any]) -> Markup:
    """Return documents as one JSON object that no text in them can end early."""
    merged = {key: value for document in documents for key, value in document.items()}
    text = json.dumps(merged, sort_keys=True, separators=(",", ":"), allow_nan=False)
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return _safe(text)


def _safe(text: str) -> Markup:
    """Return text as HTML: this project's own, or escaped by what made it."""
    return Markup(text)  # noqa: S704
