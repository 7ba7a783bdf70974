"""The numbers of the page: a card each, with its chart, what it means and how it was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from lirf.measure.table import COLLAPSE, COVERING, MEASURED, STRAYING, Diagnosis, Metric, shown
from lirf.report import charts, style, tables
from lirf.report.charts import Group, Kind, Line

Document = Mapping[str, Any]
Points = Sequence[tuple[float, float]]

AFTER = ", as it is or after the autoencoder"
"""What is left out of meanings where there is no autoencoder."""


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


@dataclass(frozen=True)
class Cards:
    """The cards of the page by its sections."""

    numbers: Sequence[Card]
    growth: Sequence[Card]
    collapse: Sequence[Card]


def of(measured: Measured, protocol: Document, judged: Mapping[str, str]) -> Cards:
    """Return the cards of all models.

    Args:
        measured: their numbers.
        protocol: of the final model.
        judged: whether it is better than the baseline, by metric.
    """
    numbers = _numbers(measured, protocol, judged)
    return Cards(numbers, _growth(measured), _collapse(measured, protocol))


def _numbers(measured: Measured, protocol: Document, judged: Mapping[str, str]) -> list[Card]:
    """Return a card for each metric of the table: the final model, the baseline, all rounds."""
    rows, final = measured.rows, measured.rows[measured.final]
    how = _measured_how(protocol)
    return [
        Card(
            title=metric.title,
            better=_better(metric, final.get(metric.control)),
            judged=judged.get(metric.key, ""),
            value=tables.number(final[metric.key], metric.form),
            baseline=tables.number(measured.theirs(rows, metric.key), metric.form),
            chart=_over_rounds(
                metric.title,
                [[rows[name][metric.key] for name in measured.loop]],
                measured.theirs(rows, metric.key),
                measured.loop,
                metric.form,
                final.get(metric.control),
            ),
            meaning=metric.meaning,
            how=how.get(metric.key, how[metric.against]),
        )
        for metric in shown(rows.values())
    ]


def alone(
    result: Document, judged: Mapping[str, str], standards: Mapping[str, tuple[str, float]]
) -> Cards:
    """Return the cards of samples of any origin: no charts, since there is nothing to go along.

    Args:
        result: their numbers and protocol.
        judged: whether a number falls short of real images', by metric.
        standards: whose number real images' is, and that number, by metric.
    """
    how = _measured_how(result)
    of_heldout = {
        metric.key: ("held-out images", result[metric.control])
        for metric in MEASURED
        if result.get(metric.control) is not None
    }
    beside = {**of_heldout, **standards}
    numbers = [
        Card(
            title=metric.title,
            better=metric.better and f"{metric.better} is better",
            judged=judged.get(metric.key, ""),
            value=tables.number(result[metric.key], metric.form),
            baseline=_beside(metric, *beside[metric.key]) if metric.key in beside else "",
            chart=Markup(""),
            meaning=metric.meaning.replace(AFTER, ""),
            how=how.get(metric.key, how[metric.against]),
        )
        for metric in shown([result])
        if metric in MEASURED
    ]
    return Cards(numbers, (), ())


def _measured_how(protocol: Document) -> dict[str, str]:
    """Say how numbers were measured, by metric or by what samples are held against."""
    samples = f"{protocol['n_fake']} samples"
    reference = {"heldout": "held-out", "train": "training"}[protocol["reference"]]
    space = f"in {protocol['features']} at {protocol['resolution']} px"
    against = f"{samples} against {protocol['n_reference']} {reference} images, {space}"
    return {
        "training images": f"{samples} against {protocol['n_train']} training images, {space}",
        "reference": f"{against}, K = {protocol['neighbours']}",
        "samples": samples,
        "memorised_pixels": f"{samples} against {protocol['n_train']} training images, in pixels",
        "vendi": f"{samples}, cosines about the mean training image, {space}",
        "bank": "rows of the bank after the round before",
        "frechet": f"no value: {protocol['frechet_reason']}"
        if protocol["frechet"] is None
        else against,
    }


def _beside(metric: Metric, whose: str, value: float) -> str:
    """Return a number of real images with its owners' name."""
    return f"{whose} {value:{metric.form}}"


def _better(metric: Metric, control: float | None) -> str:
    """Say which way is better, and what held-out images have."""
    words = metric.better and f"{metric.better} is better"
    if control is None:
        return words
    number = f"held-out {control:{metric.form}}"
    return words.replace("held-out", number) if "held-out" in words else f"{words}; {number}"


def _over_rounds(
    title: str,
    values: Sequence[Sequence[float | None]],
    level: float | None,
    loop: Sequence[str],
    form: str = ".3g",
    control: float | None = None,
) -> Markup:
    """Draw a number over the loop's models; a second row of values is fainter."""
    words = ", ".join(
        f"{name} {tables.number(value, form)}" for name, value in zip(loop, values[0], strict=True)
    )
    kinds: tuple[Kind, ...] = ("loop", "second")
    series = [
        Line(kind, list(enumerate(row)), dots=True)
        for kind, row in zip(kinds, values, strict=False)
    ]
    beside = "" if level is None else f"; baseline {level:{form}}"
    beside += "" if control is None else f"; held-out images {control:{form}}"
    label = f"{title} over the rounds: {words}{beside}"
    ticks = _thinned_ticks(loop)
    return style.inline(label, lambda axes: charts.lines(axes, series, ticks, level, 0, control))


def _thinned_ticks(loop: Sequence[str]) -> list[tuple[float, str]]:
    """Return marks of the models, the text of only so many that they have room."""
    stride = -(-len(loop) // 6)
    last = len(loop) - 1
    return [
        (float(i), name if i == last or (i % stride == 0 and last - i >= stride) else "")
        for i, name in enumerate(loop)
    ]


def _growth(measured: Measured) -> list[Card]:
    """Return the cards of what the rounds did to the bank, and of the training loss."""
    final = measured.diagnoses[measured.final]
    reference = {"heldout": "held-out", "train": "training"}[final["reference_latents"]]
    bank = f"the model's bank and {final['n_reference_latents']} {reference} latents"
    return [
        _diagnosis(measured, STRAYING, bank),
        _diagnosis(measured, COVERING, bank),
        _loss_card(measured),
    ]


def _collapse(measured: Measured, protocol: Document) -> list[Card]:
    """Return the cards of the diagnoses of the models."""
    final = measured.diagnoses[measured.final]
    paths = f"{final['n_paths']} paths of {final['path_steps']} steps, seed {final['path_seed']}"
    return [
        _diagnosis(measured, COLLAPSE, paths),
        _distance_card(measured, paths),
        _density_card(measured, paths, protocol),
    ]


def _diagnosis(measured: Measured, pair: Diagnosis, how: str) -> Card:
    """Return the card of a diagnosis over the rounds; the second of its numbers is fainter."""
    found = measured.diagnoses
    values = [[found[name][key] for name in measured.loop] for key in pair.keys]
    level = measured.theirs(found, pair.keys[0])
    return Card(
        pair.title, pair.unit, "", f"{values[0][-1]:.3f}", tables.number(level, ".3f"),
        _over_rounds(pair.title, values, level, measured.loop),
        " ".join([pair.asks.capitalize(), pair.meaning]).strip(), how,
    )  # fmt: skip


def _loss_card(measured: Measured) -> Card:
    """Return the card of the loss of all models over the steps."""
    curves = {name: charts.thinned(points) for name, points in measured.losses.items()}
    whole = [point for name in measured.loop for point in curves[name]]
    last = max([1.0, *(points[-1][0] for points in curves.values() if points)])
    base = curves[measured.baseline] if measured.baseline else []
    series = [Line("loop", whole), *([Line("baseline", base)] if base else [])]
    mine, theirs = (
        tables.number(points[-1][1] if points else None, ".3f") for points in (whole, base)
    )
    beside = f", baseline {theirs}" if base else ""
    return Card(
        "training loss", "over the optimiser steps, smoothed", "",
        mine, theirs,
        style.inline(
            f"Training loss over the steps: in the end {mine}{beside}",
            lambda axes: charts.lines(axes, series, charts.steps(axes, last)),
        ),
        "The flow-matching loss on each model's own bank. A denser bank is harder to learn by"
        " heart; a lower loss is not a better model.",
        f"{measured.rows[measured.final]['train_steps'] or 0} steps in all; the end of the curves",
    )  # fmt: skip


def _distance_card(measured: Measured, paths: str) -> Card:
    """Return the card of the distance to the memorising field over t."""
    final = measured.diagnoses[measured.final]["distance_to_memorising"]
    level = measured.theirs(measured.diagnoses, "distance_to_memorising")
    kinds: dict[str, Kind] = dict.fromkeys(measured.loop, "faint")
    kinds.update(dict.fromkeys(measured.baselines, "baseline"))
    kinds[measured.final] = "loop"
    series = [Line(kinds[name], points) for name, points in measured.distances.items()]
    words = (
        f"Distance of the field to the memorising one over t; on average"
        f" {final:.3g} for {measured.final}"
        + ("" if level is None else f", {level:.3g} for the baseline")
    )
    ticks = [(0.0, "noise"), (0.5, "t = 0.5"), (1.0, "data")]
    return Card(
        "distance to memorising", "0 is learned by heart; its mean over t", "",
        f"{final:.3f}", tables.number(level, ".3f"),
        style.inline(words, lambda axes: charts.lines(axes, series, ticks, least_top=1.0)),
        "How far the learned field is from the exact one that ends every path on a training"
        " latent, on the way from noise to data; faint: the rounds.", paths,
    )  # fmt: skip


def _density_card(measured: Measured, paths: str, protocol: Document) -> Card:
    """Return the card of memorised samples by local density."""
    final, base = measured.diagnoses[measured.final], measured.diagnoses
    kinds: dict[Kind, str] = {"loop": measured.final}
    if measured.baseline:
        kinds["baseline"] = measured.baseline
    bins: list[list[tuple[Kind, float | None]]] = [
        [(kind, _share(share)) for kind, share in zip(kinds, shares, strict=True)]
        for shares in zip(*(measured.memorised_by_density[n] for n in kinds.values()), strict=True)
    ]
    ends = {0: "dense", len(bins) - 1: "sparse"}
    groups: list[Group] = [(ends.get(place, ""), bars) for place, bars in enumerate(bins)]
    words = "Memorised samples near training latents, densest first: " + "; ".join(
        ", ".join(f"{kinds[kind]} {tables.number(share, '.3f')}" for kind, share in bars)
        for bars in bins
    )
    return Card(
        "memorised by density", "share of all samples; bars: of those that end there", "",
        f"{final['memorised_latents']:.3f}",
        tables.number(measured.theirs(base, "memorised_latents"), ".3f"),
        style.inline(words, lambda axes: charts.bars(axes, groups, least_top=0.1)),
        "Where memorised samples fall: near training latents that have close neighbours, or near"
        " lonely ones.",
        f"{paths}; nearest of {protocol['n_train']} training images in the latent space",
    )  # fmt: skip


def _share(value: float) -> float | None:
    return None if math.isnan(value) else value
