"""The table of metrics: what each number is called, which way is better, what it is held against.

Report, page, card, verdict, studies and docs show what stands here, in this order. A new metric is
a file beside this one, a line in `evaluation`, and an entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

ARROWS = {
    "": "",
    "lower": "↓",
    "higher": "↑",
    "nearer to 1": "→ 1",
    "nearer to held-out": "→ held-out",
}


@dataclass(frozen=True)
class Metric:
    """A number of a model.

    Attributes:
        key: in JSON, in TSV and in a study's plan.
        title: at the head of a column.
        form: how it is written.
        against: what samples are held against; `bank` and `training` are no numbers of samples.
        meaning: in a sentence or two.
        better: which way.
        share_of: the key of the number that it is a share of, where it is a share.
        long: its name in a sentence, where that is not its title.
        control: the key of the same number of held-out images in the samples' place, if there is.
        optional: whether it is left out where no model has it.
    """

    key: str
    title: str
    form: str
    against: Literal["training images", "reference", "samples", "bank", "training"]
    meaning: str
    better: Literal["", "lower", "higher", "nearer to 1", "nearer to held-out"] = ""
    share_of: Literal["", "n_fake", "n_reference"] = ""
    long: str = ""
    control: str = ""
    optional: bool = False

    @property
    def name(self) -> str:
        """The name in a sentence."""
        return self.long or self.title

    @property
    def head(self) -> str:
        """The title with an arrow towards better."""
        return f"{self.title} {ARROWS[self.better]}".rstrip()

    def worth(self, value: float, control: float = 0.0) -> float:
        """Return what is greater where the metric is better; `control`: of held-out images."""
        match self.better:
            case "lower":
                return -value
            case "nearer to 1":
                return -abs(value - 1)
            case "nearer to held-out":
                return -abs(value - control)
            case _:
                return value


METRICS = (
    Metric(
        "memorised", "memorised", ".3f", "training images",
        "Share of samples whose nearest training image, mirrored or not, as it is or after the"
        " autoencoder, is far closer than the second nearest that is no near-duplicate of it:"
        " closer than a third of that, or in features of a network closer than 95 of 100 training"
        " images are to others.",
        better="lower", share_of="n_fake", control="memorised_heldout",
    ),
    Metric(
        "memorised_pixels", "in pixels", ".3f", "training images",
        "The same share by distances in pixels, where all else is measured in other features, which"
        " can miss an image that was slightly changed.",
        better="lower", share_of="n_fake", long="memorised in pixels",
        control="memorised_pixels_heldout", optional=True,
    ),
    Metric(
        "precision", "precision", ".3f", "reference",
        "Share of samples that fall among the reference images: do they look real? Memorising keeps"
        " it high.",
        better="higher", share_of="n_fake",
    ),
    Metric(
        "recall", "recall", ".3f", "reference",
        "Share of reference images that fall among the samples: is there all there is? Wide,"
        " blurred samples raise it.",
        better="higher", share_of="n_reference",
    ),
    Metric(
        "density", "density", ".3f", "reference",
        "How closely samples lie among the reference images. 1 is like real images; above it,"
        " samples crowd where images are dense.",
        better="nearer to 1",
    ),
    Metric(
        "coverage", "coverage", ".3f", "reference",
        "Share of reference images that have a sample near them. Like recall, but outliers do not"
        " raise it.",
        better="higher", share_of="n_reference",
    ),
    Metric(
        "frechet", "Frechet", ".3f", "reference",
        "Distance between the Gaussians of samples and reference images, in the stated features."
        " Not FID, which uses others.",
        better="lower", long="Frechet distance",
    ),
    Metric(
        "vendi", "Vendi", ".2f", "samples",
        "Effective number of different samples.",
        better="higher", long="Vendi score",
    ),
    Metric(
        "sharpness", "sharpness", ".1f", "samples",
        "Mean absolute difference of neighbouring pixels' grey values, 0 to 255. Below that of"
        " held-out images samples are blurred, which precision and density reward.",
        better="nearer to held-out", control="sharpness_heldout", optional=True,
    ),
    Metric(
        "bank_rows", "bank rows", ".0f", "bank",
        "Latents that the model was trained on.",
    ),
)  # fmt: skip
"""Every number of the table, in its order."""

STEPS = Metric("train_steps", "steps", ".0f", "training", "Optimiser steps in all.")
"""What studies show beside it."""

MEASURED = tuple(metric for metric in METRICS if metric.against != "bank")
"""What `evaluate` measures of samples."""

JUDGED = tuple(metric for metric in MEASURED if metric.better)
"""What the verdict holds against a baseline."""

CONTROLS = tuple(metric.control for metric in METRICS if metric.control)
"""The keys of held-out images' numbers."""

BY_KEY = {metric.key: metric for metric in METRICS}


def shown(results: Iterable[Mapping[str, Any]]) -> tuple[Metric, ...]:
    """Return the metrics without optional ones that no result has."""
    found = {key for result in results for key, value in result.items() if value is not None}
    return tuple(metric for metric in METRICS if metric.key in found or not metric.optional)


def controls(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of held-out images that a result has, by the keys of the metrics."""
    found = {metric.key: result.get(metric.control) for metric in METRICS if metric.control}
    return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True)
class Diagnosis:
    """A pair of numbers that `diagnose` finds: the first is the one to read, the second fainter."""

    title: str
    unit: str
    keys: tuple[str, str]
    labels: tuple[str, str]
    meaning: str
    asks: str = ""


COLLAPSE = Diagnosis(
    "collapse",
    "0 as new as a left-out image, 1 memorised",
    ("collapse_real", "collapse_bank"),
    ("onto the real latents", "onto its own bank"),
    "How much nearer samples are to one real latent than a left-out image would be; grey: to a"
    " latent of the model's own bank. Needs no held-out images.",
)
STRAYING = Diagnosis(
    "bank to reference",
    "spacings of the real latents",
    ("bank_to_reference", "bank_to_reference_mean"),
    ("greatest", "mean"),
    "The farthest latent of the bank from the nearest one of the reference; grey: the mean.",
    asks="does it stray?",
)
COVERING = Diagnosis(
    "reference to bank",
    "spacings of the real latents",
    ("reference_to_bank", "reference_to_bank_mean"),
    ("greatest", "mean"),
    "The farthest latent of the reference from the nearest one of the bank; grey: the mean.",
    asks="does it cover?",
)
DIAGNOSES = (COLLAPSE, STRAYING, COVERING)
