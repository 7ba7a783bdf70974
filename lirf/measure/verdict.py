"""The verdict on a finished run: is it good, and is it new? By rules, from the numbers.

A *result* is as in `lirf.report.report`: a flat mapping of one model. The rules are few, and the
answers state them, so that a reader can apply them to the table by hand:

- new: the share of memorised samples alone, against a threshold and against one half;
- good: every measure of quality is better than, as good as, or worse than the baseline's, beyond
  what the number of images makes chance; the answer counts them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lirf.measure import table
from lirf.measure.table import Metric
from lirf.params import Page

Result = Mapping[str, Any]
Judgement = Literal["better", "same", "worse", "unknown"]

QUALITY = tuple(one for one in table.JUDGED if one.against != "training images")
"""What decides whether samples are good, without a look at what the model was trained on."""
SIGMAS = 2
"""Two shares differ when they are this many standard errors of their difference apart."""


WHOSE = {
    "New": "New images, not memorised ones",
    "Partly memorised": "In part memorised training images",
    "Memorised": "Memorised training images",
}
"""How the verdict begins, by the word of the first answer."""


@dataclass(frozen=True)
class Answer:
    """An answer to one of the two questions: a word, its class, a sentence and the rule."""

    word: str
    kind: Literal["good", "mixed", "bad", "unknown"]
    sentence: str
    rule: str


NO_BASELINE = Answer(
    "No baseline",
    "unknown",
    "There is no model to compare with: add a line with `role: baseline` to models in params.yaml.",
    "Better, as good or worse are said beside a baseline alone.",
)


@dataclass(frozen=True)
class Verdict:
    """Both answers, what every measure says, and what a reader must know before trusting it."""

    sentence: str
    new: Answer
    good: Answer
    judged: dict[str, Judgement]  # every measure that has a direction
    notes: tuple[str, ...]
    same_steps: bool  # whether the baseline has as many steps as the loop


def judge(
    final: Result,
    baseline: Result | None,
    rounds: Sequence[Result],
    policy: Page,
    same_steps: bool = True,
) -> Verdict:
    """Judge the model `final`, which `rounds` led to, against `baseline`, if there is one.

    `final` and `baseline` hold the metrics and their protocol, `rounds` how many candidates each
    round admitted.
    """
    judged: dict[str, Judgement] = {
        metric.key: compare(metric, final, baseline or {}, policy) for metric in table.JUDGED
    }
    new = is_new(final, baseline, policy.memorised)
    good = _good(final, judged, policy, same_steps) if baseline else NO_BASELINE
    return Verdict(_headline(new, good), new, good, judged, _notes(final, rounds), same_steps)


def compare(metric: Metric, result: Result, baseline: Result, policy: Page) -> Judgement:
    """Say whether a metric is better than the baseline's, beyond chance where that is known.

    Shares differ when they are SIGMAS standard errors apart, as if the two were independent; they
    share their noise, so this errs towards "same". Other metrics differ by more than
    `policy.margin` of the baseline's; density by its distance from 1.
    """
    mine, theirs = result.get(metric.key), baseline.get(metric.key)
    if mine is None or theirs is None:
        return "unknown"
    control = result.get(metric.control)
    if metric.better == "nearer to held-out" and control is None:
        return "unknown"
    gain = metric.worth(mine, control or 0.0) - metric.worth(theirs, control or 0.0)
    least = policy.margin * abs(theirs)
    if metric.share_of:
        variance = mine * (1 - mine) + theirs * (1 - theirs)
        least = SIGMAS * math.sqrt(variance / result[metric.share_of])
    if abs(gain) <= least:
        return "same"
    return "better" if gain > 0 else "worse"


def interval(share: float, n: int) -> tuple[float, float]:
    """Return the Wilson interval of a share of `n`, at SIGMAS standard errors."""
    z2 = SIGMAS**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = SIGMAS / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def is_new(
    final: Result, baseline: Result | None, limit: float, *, autoencoder: bool = True
) -> Answer:
    """Answer whether the samples are new: `limit` is the largest share of memorised ones.

    `autoencoder` is whether training images are known after one, too.
    """
    key, n, controls = _most_memorised(final), final["n_fake"], table.controls(final)
    memorised, control = final[key], controls.get(key)
    after = " or what the autoencoder makes of it," if autoencoder else ""
    rule = (
        f"New: at most {percent(limit)} of the samples are memorised, beyond what"
        " held-out images score in their place."
        " Memorised: at least half. Partly memorised: anything between. A sample is memorised when"
        f" its nearest training image, mirrored or not,{after}"
        " is far closer than the second nearest. It is looked for in the features of all other"
        " metrics and in pixels; where more are found counts."
    )
    low, high = interval(memorised, n)
    beside = f"; of the baseline's, {_count(baseline[key], n)}" if baseline else ""
    if control is not None:
        beside += f"; of held-out images in their place, {percent(control)} would be called so"
    sentence = (
        f"{_count(memorised, n)} of {n} samples are memorised training images"
        f" ({percent(memorised)};"
        f" between {percent(low)} and {percent(high)} of all it would draw, at two standard"
        f" errors){beside}."
    )
    if memorised - (control or 0) <= limit:
        return Answer("New", "good", sentence, rule)
    if memorised >= 0.5:
        return Answer("Memorised", "bad", sentence, rule)
    return Answer("Partly memorised", "mixed", sentence, rule)


def _most_memorised(final: Result) -> str:
    """Return the key of the memorised share that is most above that of held-out images."""
    controls = table.controls(final)
    keys = [one.key for one in table.JUDGED if one.against == "training images"]
    return max(
        (key for key in keys if final.get(key) is not None),
        key=lambda key: final[key] - controls.get(key, 0),
    )


def _good(final: Result, judged: Mapping[str, Judgement], policy: Page, same_steps: bool) -> Answer:
    """Answer whether the samples are good."""
    steps = " and as many steps" if same_steps else ""
    rule = (
        f"Each of {join([metric.name for metric in QUALITY])} is held"
        f" against the baseline's, which has the same network{steps}, but no rounds."
        f" Shares differ when they are more than {SIGMAS} standard errors apart; the"
        f" others when they differ by more than {percent(policy.margin)}, density in its distance"
        " from 1. Good: some better and none worse. As good: none differs. Good in part: some"
        " better, some worse. Worse: some worse and none better."
    )
    if final["reference"] != "heldout":
        return Answer(
            "Cannot be told",
            "unknown",
            "There are too few held-out images, so quality was measured against the training"
            " images, which rewards memorising.",
            rule,
        )
    better, same, worse = (
        [metric.name for metric in QUALITY if judged[metric.key] == word]
        for word in ("better", "same", "worse")
    )
    clauses = [
        f"{word} in {join(names)}"
        for word, names in (
            ("better", better),
            ("no different", same),
            ("worse", worse),
        )
        if names
    ]
    sentence = (
        f"{percent(final['precision'])} of the samples look like held-out images (precision), and"
        f" {percent(final['coverage'])} of the held-out images have a sample near them (coverage)."
        f" Beside the baseline: {'; '.join(clauses)}."
    )
    if better and worse:
        return Answer("Good in part", "mixed", sentence, rule)
    if better:
        return Answer("Good", "good", sentence, rule)
    if worse:
        return Answer("Worse than the baseline", "bad", sentence, rule)
    return Answer("As good as the baseline", "mixed", sentence, rule)


def _headline(new: Answer, good: Answer) -> str:
    """Return the verdict in one sentence."""
    how = {
        "Good": "better than the baseline's",
        "As good as the baseline": "as good as the baseline's",
        "Good in part": "better than the baseline's in some ways, worse in others",
        "Worse than the baseline": "worse than the baseline's",
        "Cannot be told": "how good they are cannot be told without held-out images",
        NO_BASELINE.word: "how good they are has nothing to be held against",
    }[good.word]
    joint = ", but " if good.kind == "bad" and new.kind == "good" else "; "
    return f"{WHOSE[new.word]}{joint}{how}."


def _notes(final: Result, rounds: Sequence[Result]) -> tuple[str, ...]:
    """Return what limits the verdict."""
    notes = []
    if final["generator"] != "network":
        notes.append(
            f"The samples are those of evaluate.generator = {final['generator']}, not of a network."
        )
    if not sum(one["admitted"] for one in rounds):
        notes.append(
            "No round admitted anything: the loop was trained on the rows that the baseline was"
            " trained on."
        )
    notes.append("One run with one seed: it says nothing of how far another would differ.")
    return tuple(notes)


def _count(share: float, n: int) -> int:
    return round(share * n)


def percent(share: float) -> str:
    """Return a share in percent, with one digit below ten."""
    return f"{100 * share:.1f} %" if 0 < share < 0.0995 else f"{100 * share:.0f} %"


def join(names: Sequence[str]) -> str:
    """Return names as a list within a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
