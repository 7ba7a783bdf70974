"""The report page: one HTML file that answers whether the images are good, and new or copies.

It holds everything that it shows and asks nothing of any network. `page.html`, `page.css` and
`page.js` beside this file are its skeleton, its looks and its few movements; all text goes through
Jinja's escaping, data for the script through `_json`. The same content gives the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from lirf.measure.metrics import MEMORISED_RATIO
from lirf.measure.verdict import Verdict
from lirf.report import charts, report, tables
from lirf.report.charts import Line
from lirf.store.lineage import Lineage

HERE = Path(__file__).parent
Document = Mapping[str, Any]
Points = Sequence[tuple[float, float]]


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
    seed: int
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
class Measured:
    """The numbers of every model by name: those of the loop in order, then the baselines."""

    loop: Sequence[str]  # the models' names in order
    baselines: Sequence[str]  # the first is what the loop is held against
    rows: Mapping[str, Document]
    diagnoses: Mapping[str, Document]
    distances: Mapping[str, Points]  # to the memorising field, over t
    memorised_by_density: Mapping[str, Sequence[float]]  # densest first; NaN where no sample fell
    losses: Mapping[str, Points]

    @property
    def final(self) -> str:
        """Return the name of the loop's last model."""
        return self.loop[-1]

    @property
    def baseline(self) -> str | None:
        """Return the name of the baseline that the loop is held against, if there is one."""
        return next(iter(self.baselines), None)

    def theirs(self, of: Mapping[str, Document], key: str) -> float | None:
        """Return a number of the baseline, None where there is none."""
        return of[self.baseline][key] if self.baseline else None


@dataclass(frozen=True)
class Content:
    """All that the page shows."""

    subject: str  # what the images are
    verdict: Verdict
    protocol: Document  # of the final model
    measured: Measured
    samples: Mapping[str, Sequence[Sample]]
    images: Mapping[str, tuple[str, str]]  # training images by id: data URI and file
    descent: Descent
    facts: Sequence[tuple[str, Document]]  # further documents of the protocol, by file
    pixelated: bool  # whether pictures are so small that their pixels are to be seen


@dataclass(frozen=True)
class Card:
    """A number or a curve: what it is, what it says, what it means and how it was measured."""

    title: str
    better: str  # which way is better, or its unit
    judged: str
    value: str
    baseline: str
    chart: Markup
    meaning: str
    how: str


def render(content: Content) -> str:
    """Return the page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    measured = content.measured
    loop = measured.loop
    return environment.from_string((HERE / "page.html").read_text()).render(
        content=content,
        verdict=content.verdict,
        style=_safe((HERE / "page.css").read_text()),
        script=_safe((HERE / "page.js").read_text()),
        models=[*measured.baselines, *loop],
        final=measured.final,
        baseline=measured.baseline,
        columns=report.COLUMNS,
        cell=tables.number,
        cards=_cards(content, loop),
        admissions=[measured.rows[name] for name in loop if "admitted" in measured.rows[name]],
        growth=_growth(measured, loop),
        collapse=_collapse(measured, loop, content.protocol),
        copy_ratio=MEMORISED_RATIO,
        protocol_line=report.protocol_line(content.protocol).replace("**", ""),
        label=_label,
        data=_json(_sample_data(content), _descent_data(content.descent)),
    )


def _label(place: int, sample: Sample, images: Mapping[str, tuple[str, str]]) -> str:
    """Say what a sample is to who cannot see it."""
    nearest = sample.nearest[0]
    what = "a copy of" if sample.memorised else "nearest to"
    return f"Sample {place + 1}, {what} {images[nearest.id][1]}, ratio {sample.ratio:.2f}"


def _cards(content: Content, loop: Sequence[str]) -> list[Card]:
    """Return a card a column of the table: the final model, the baseline, all rounds."""
    measured, protocol = content.measured, content.protocol
    rows = measured.rows
    samples = f"{protocol['n_fake']} samples"
    reference = {"heldout": "held-out", "train": "training"}[protocol["reference"]]
    against = f"{samples} against {protocol['n_reference']} {reference} images"
    space = f"in {protocol['features']} at {protocol['resolution']} px"
    how = {
        "memorised": f"{samples} against {protocol['n_train']} training images, {space}",
        "frechet": f"{against}, {space}"
        if protocol["frechet"] is not None
        else f"no value: {protocol['frechet_reason']}",
        "vendi": f"{samples}, cosines about the mean training image, {space}",
        "bank_rows": "rows of the bank after the round before",
    }
    return [
        Card(
            title=column.title,
            better=column.better and f"{column.better} is better",
            judged=content.verdict.judged.get(column.key, ""),
            value=tables.number(rows[measured.final][column.key], column.form),
            baseline=tables.number(measured.theirs(rows, column.key), column.form),
            chart=_over_rounds(
                column.title,
                [[rows[name][column.key] for name in loop]],
                measured.theirs(rows, column.key),
                loop,
                column.form,
            ),
            meaning=column.meaning,
            how=how.get(column.key, f"{against}, {space}, K = {protocol['neighbours']}"),
        )
        for column in report.COLUMNS
    ]


def _over_rounds(
    title: str,
    values: Sequence[Sequence[float | None]],
    level: float | None,
    loop: Sequence[str],
    form: str = ".3g",
) -> Markup:
    """Draw a number over the loop's models; a second row of values is fainter."""
    words = ", ".join(
        f"{name} {tables.number(value, form)}" for name, value in zip(loop, values[0], strict=True)
    )
    series = [
        Line(kind, list(enumerate(row)), dots=True)
        for kind, row in zip(("loop", "second"), values, strict=False)
    ]
    return _safe(
        charts.lines(
            series[::-1],
            f"{title} over the rounds: {words}; baseline {tables.number(level, form)}",
            _thinned_ticks(loop),
            level,
        )
    )


def _thinned_ticks(loop: Sequence[str]) -> list[tuple[float, str]]:
    """Return marks of the models, the text of only so many that they have room."""
    stride = -(-len(loop) // 6)
    last = len(loop) - 1
    return [
        (float(i), name if i == last or (i % stride == 0 and last - i >= stride) else "")
        for i, name in enumerate(loop)
    ]


def _growth(measured: Measured, loop: Sequence[str]) -> list[Card]:
    """Return the cards of what the rounds did to the bank, and of the training loss."""
    final = measured.diagnoses[measured.final]
    reference = {"heldout": "held-out", "train": "training"}[final["reference_latents"]]
    bank = f"the model's bank and {final['n_reference_latents']} {reference} latents"
    return [
        _directed(
            measured, loop, "bank to reference", ("bank_to_reference", "bank_to_reference_mean"),
            "in spacings of the real latents",
            "Does the bank stray? The farthest of its latents from the nearest one of the"
            " reference; grey: the mean.", bank,
        ),
        _directed(
            measured, loop, "reference to bank", ("reference_to_bank", "reference_to_bank_mean"),
            "in spacings of the real latents",
            "Does the bank cover? The farthest latent of the reference from the nearest one of"
            " the bank; grey: the mean.", bank,
        ),
        _loss_card(measured, loop),
    ]  # fmt: skip


def _collapse(measured: Measured, loop: Sequence[str], protocol: Document) -> list[Card]:
    """Return the cards of the diagnoses of the models."""
    final = measured.diagnoses[measured.final]
    paths = f"{final['n_paths']} paths of {final['path_steps']} steps, seed {final['path_seed']}"
    return [
        _directed(
            measured, loop, "collapse", ("collapse_real", "collapse_bank"),
            "0 is as new as a left-out image, 1 is all copies",
            "How much nearer samples are to one real latent than a left-out image would be; grey:"
            " to a latent of the model's own bank. Needs no held-out images.", paths,
        ),
        _distance_card(measured, loop, paths),
        _density_card(measured, paths, protocol),
    ]  # fmt: skip


def _directed(
    measured: Measured,
    loop: Sequence[str],
    title: str,
    keys: tuple[str, str],
    unit: str,
    meaning: str,
    how: str,
) -> Card:
    """Return the card of a diagnosis over the rounds; the second of its `keys` is fainter."""
    found = measured.diagnoses
    values = [[found[name][key] for name in loop] for key in keys]
    level = measured.theirs(found, keys[0])
    return Card(
        title, unit, "", f"{values[0][-1]:.3f}", tables.number(level, ".3f"),
        _over_rounds(title, values, level, loop), meaning, how,
    )  # fmt: skip


def _loss_card(measured: Measured, loop: Sequence[str]) -> Card:
    """Return the card of the loss of all models over the steps."""
    curves = {name: charts.thinned(points) for name, points in measured.losses.items()}
    whole = [point for name in loop for point in curves[name]]
    last = max([1.0, *(points[-1][0] for points in curves.values() if points)])
    step = charts.round_step(last / 4)
    ticks = [(i * step, f"{i * step:g}") for i in range(int(last // step) + 1)]
    base = curves[measured.baseline] if measured.baseline else []
    ends = {"loop": whole, "baseline": base}
    mine, theirs = (
        tables.number(points[-1][1] if points else None, ".3f") for points in ends.values()
    )
    return Card(
        "training loss", "over the optimiser steps, smoothed", "",
        mine, theirs,
        _safe(
            charts.lines(
                [*([Line("baseline", base)] if base else []), Line("loop", whole)],
                f"Training loss over the steps: in the end {mine}, baseline {theirs}",
                [*ticks, (last, "")],
            )
        ),
        "The flow-matching loss on each model's own bank. A denser bank is harder to learn by"
        " heart; a lower loss is not a better model.",
        f"{measured.rows[measured.final]['train_steps'] or 0} steps in all; the end of the curves",
    )  # fmt: skip


def _distance_card(measured: Measured, loop: Sequence[str], paths: str) -> Card:
    """Return the card of the distance to the memorising field over t."""
    final, base = measured.diagnoses[measured.final], measured.diagnoses
    title = "distance to memorising"
    kinds = dict.fromkeys(loop, "faint") | dict.fromkeys(measured.baselines, "baseline")
    kinds[measured.final] = "loop"
    drawn = sorted(measured.distances, key=lambda name: kinds[name] != "faint")
    series = [Line(kinds[name], measured.distances[name]) for name in drawn]
    words = (
        f"Distance of the field to the memorising one over t; on average"
        f" {final['distance_to_memorising']:.3g} for {measured.final},"
        f" {tables.number(measured.theirs(base, 'distance_to_memorising'), '.3g')} for the baseline"
    )
    ticks = [(0.0, "noise"), (0.5, "t = 0.5"), (1.0, "data")]
    return Card(
        title, "0 is learned by heart; its mean over t", "",
        f"{final['distance_to_memorising']:.3f}",
        tables.number(measured.theirs(base, "distance_to_memorising"), ".3f"),
        _safe(charts.lines(series, words, ticks, least_top=1.0)),
        "How far the learned field is from the exact one that ends every path on a training"
        " latent, on the way from noise to data; faint: the rounds.", paths,
    )  # fmt: skip


def _density_card(measured: Measured, paths: str, protocol: Document) -> Card:
    """Return the card of copies by local density."""
    final, base = measured.diagnoses[measured.final], measured.diagnoses
    by_density = measured.memorised_by_density
    mine = by_density[measured.final]
    theirs = by_density[measured.baseline] if measured.baseline else [math.nan] * len(mine)
    shares = [(_share(one), _share(other)) for one, other in zip(mine, theirs, strict=True)]
    ends = {0: "dense", len(shares) - 1: "sparse"}
    groups = [
        (ends.get(i, ""), (("loop", mine), ("baseline", theirs)))
        for i, (mine, theirs) in enumerate(shares)
    ]
    words = "Copies near training latents, densest first: " + "; ".join(
        f"{measured.final} {tables.number(mine, '.3f')}, baseline {tables.number(theirs, '.3f')}"
        for mine, theirs in shares
    )
    return Card(
        "copies by density", "share of all samples; bars: of those that end there", "",
        f"{final['memorised_latents']:.3f}",
        tables.number(measured.theirs(base, "memorised_latents"), ".3f"),
        _safe(charts.bars(groups, words, least_top=0.1)),
        "Where copies fall: near training latents that have close neighbours, or near lonely ones.",
        f"{paths}; nearest of {protocol['n_train']} training images in the latent space",
    )  # fmt: skip


def _share(value: float) -> float | None:
    return None if math.isnan(value) else value


def _sample_data(content: Content) -> dict[str, Any]:
    """Return what the script shows of a sample that is picked."""
    needed = {
        near.id for samples in content.samples.values() for one in samples for near in one.nearest
    }
    return {
        "samples": {
            model: [
                {
                    "seed": str(one.seed),  # more digits than the script's numbers have
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
