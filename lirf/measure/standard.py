"""The verdict on samples of any origin: without a baseline, real images are the standard.

A *result* is a flat mapping as in `lirf.report.report`, with what real images reach in its place:
`precision_training`, the precision of the training images, and `coverage_expected`, see below. Both
are fair whatever the number of samples, as sharpness is; recall, the Frechet distance and the Vendi
score of sets of different sizes are not, and are left to the reader.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lirf.measure import verdict
from lirf.measure.verdict import SIGMAS, Answer, Judgement, Verdict

Result = Mapping[str, Any]

MARGIN = 0.05
"""How far a number may fall short of real images', relative to theirs: as the shipped `page`."""

FAR = 0.5
"""The share of real images' number below which samples are far from it."""

KEYS = ("precision", "coverage", "sharpness")
"""What decides whether samples are good."""

NOTES = (
    "There is no autoencoder here: training images are known as they are and mirrored.",
    "One set of samples: it says nothing of how far another would differ.",
)


def expected_coverage(samples: int, reference: int, neighbours: int) -> float:
    """Return the coverage that as many real images reach on average, whatever their distribution.

    Of a reference image, all `neighbours` nearest ones among the other reference images and the
    samples are reference images with the probability that the coverage lacks (Naeem et al. 2020,
    section 3.2).
    """
    missed = 1.0
    for place in range(1, neighbours + 1):
        missed *= (reference - place) / (reference + samples - place)
    return 1 - missed


def judge(result: Result, limit: float) -> Verdict:
    """Judge samples by themselves: `limit` is the largest share of memorised ones that is new."""
    new = verdict.is_new(result, None, limit, autoencoder=False)
    good = is_good(result)
    judged: dict[str, Judgement] = {
        key: "same" if _reached(result, key) else "worse" for key in KEYS
    }
    joint = ", but " if good.kind == "bad" and new.kind == "good" else "; "
    sentence = f"{verdict.WHOSE[new.word]}{joint}{_how(result)}."
    return Verdict(sentence, new, good, judged, NOTES, same_steps=False)


def is_good(result: Result) -> Answer:
    """Answer whether the samples are as good as real images."""
    percent = verdict.percent
    rule = (
        "Good: precision, coverage and sharpness are those of real images. Precision is held"
        " against that of the training images, coverage against what as many real images reach on"
        f" average, sharpness against that of held-out images. A number falls short by more than"
        f" {percent(MARGIN)} of theirs, and a share by more than {SIGMAS} standard errors too."
        f" Poor: one is less than {percent(FAR)} of theirs. Good in part: all else."
    )
    sentence = (
        f"{percent(result['precision'])} of the samples look like held-out images (precision; of"
        f" the training images {percent(result['precision_training'])} do), and"
        f" {percent(result['coverage'])} of the held-out images have a sample near them (coverage;"
        f" as many real images would reach {percent(result['coverage_expected'])}). Their sharpness"
        f" is {result['sharpness']:.1f}, that of held-out images"
        f" {result['sharpness_heldout']:.1f}."
    )
    if _far(result):
        return Answer("Poor", "bad", sentence, rule)
    if _short(result):
        return Answer("Good in part", "mixed", sentence, rule)
    return Answer("Good", "good", sentence, rule)


def standards(result: Result) -> dict[str, tuple[str, float]]:
    """Return whose number stands beside each key's, and that number."""
    return {
        "precision": ("training images", result["precision_training"]),
        "coverage": ("as many real images", result["coverage_expected"]),
        "sharpness": ("held-out images", result["sharpness_heldout"]),
    }


def _how(result: Result) -> str:
    """Say how good the samples are, within a sentence."""
    if far := _far(result):
        return f"far from real images in {verdict.join(far)}"
    if short := _short(result):
        return f"short of real images in {verdict.join(short)}"
    return "as good as real images"


def _far(result: Result) -> list[str]:
    """Return the numbers that are far from those of real images."""
    return [key for key in _short(result) if _part(result, key) < FAR]


def _short(result: Result) -> list[str]:
    """Return the numbers that fall short of those of real images."""
    return [key for key in KEYS if not _reached(result, key)]


def _part(result: Result, key: str) -> float:
    """Return which part of real images' number is reached; too sharp is as bad as too blurred."""
    mine, theirs = result[key], standards(result)[key][1]
    if key == "sharpness":
        mine, theirs = sorted((mine, theirs))
    return mine / theirs if theirs else 1.0


def _reached(result: Result, key: str) -> bool:
    """Return whether a number is that of real images, beyond chance where that is known."""
    mine, theirs = result[key], standards(result)[key][1]
    if _part(result, key) >= 1 - MARGIN:
        return True
    if key == "sharpness":
        return False
    counts = {
        "precision": (result["n_fake"], result["n_train"]),
        "coverage": (result["n_reference"],) * 2,
    }[key]
    variance = sum(p * (1 - p) / n for p, n in zip((mine, theirs), counts, strict=True))
    return theirs - mine <= SIGMAS * math.sqrt(variance)
