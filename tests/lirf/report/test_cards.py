"""Cards: each says a number, what it is held against, how it was measured, and draws it."""

from dataclasses import replace
from typing import Any

import pytest

from lirf.measure.table import DIAGNOSES, METRICS
from lirf.measure.table import MEASURED as MEASURED_METRICS
from lirf.report import cards
from lirf.report.cards import Cards, Measured

PROTOCOL: dict[str, Any] = {
    "n_fake": 1000, "n_reference": 50, "n_train": 4, "reference": "heldout", "features": "pixels",
    "resolution": 8, "neighbours": 5, "frechet": 1.25, "frechet_reason": None,
}  # fmt: skip
DIAGNOSIS: dict[str, Any] = {
    **{key: 0.5 for shown in DIAGNOSES for key in shown.keys},
    "memorised_latents": 0.25, "distance_to_memorising": 0.75, "n_paths": 256, "path_steps": 20,
    "path_seed": 2, "reference_latents": "heldout", "n_reference_latents": 50,
}  # fmt: skip
RUNS = ("r01", "final", "baseline")


def row(place: int) -> dict[str, Any]:
    return {
        "train_steps": 40,
        "memorised_heldout": 0.02,
        "sharpness_heldout": 30.0,
        **{metric.key: 0.25 * (place + 1) for metric in METRICS},
    }


MEASURED = Measured(
    loop=RUNS[:2],
    baselines=RUNS[2:],
    rows={run: row(place) for place, run in enumerate(RUNS)},
    diagnoses=dict.fromkeys(RUNS, DIAGNOSIS),
    distances={run: [(0.0, 0.1), (0.5, 0.4)] for run in RUNS},
    memorised_by_density={"r01": [0.5, 0.5], "final": [0.25, float("nan")], "baseline": [1, 0]},
    losses={"r01": [(1.0, 2.0)], "final": [(2.0, 1.5)], "baseline": [(1.0, 2.0), (2.0, 1.0)]},
)
ALONE = replace(
    MEASURED,
    baselines=(),
    **{
        name: {run: one for run, one in found.items() if run != "baseline"}
        for name, found in vars(MEASURED).items()
        if isinstance(found, dict)
    },
)


def of(measured: Measured = MEASURED, **protocol: Any) -> Cards:
    return cards.of(measured, {**PROTOCOL, **protocol}, {"recall": "better"})


def test_samples_of_any_origin_have_cards_without_charts():
    result = {**PROTOCOL, **row(0), "coverage": 0.5, "memorised_heldout": 0.02}
    found = cards.alone(result, {"coverage": "worse"}, {"coverage": ("as many real images", 0.75)})
    assert (found.growth, found.collapse) == ((), ())
    by_title = {card.title: card for card in found.numbers}
    assert list(by_title) == [metric.title for metric in MEASURED_METRICS]
    assert (by_title["coverage"].value, by_title["coverage"].judged) == ("0.500", "worse")
    assert by_title["coverage"].baseline == "as many real images 0.750"
    assert by_title["memorised"].baseline == "held-out images 0.020"
    assert by_title["recall"].baseline == ""
    assert not any(card.chart or "autoencoder" in card.meaning for card in found.numbers)


@pytest.fixture(scope="module")
def made() -> Cards:
    return of()


def test_every_metric_has_a_card_with_its_words(made: Cards):
    for metric, card in zip(METRICS, made.numbers, strict=True):
        assert (card.title, card.meaning) == (metric.title, metric.meaning)
        assert (card.value, card.baseline) == (f"{0.5:{metric.form}}", f"{0.75:{metric.form}}")
        assert card.judged == ("better" if metric.key == "recall" else "")
        assert f"{metric.title} over the rounds: r01 " in card.chart
        control = {"memorised": "0.020", "sharpness": "30.0"}.get(metric.key)
        assert (f"held-out images {control}" in card.chart) == (control is not None)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("memorised", "lower is better; held-out 0.020"),
        ("recall", "higher is better"),
        ("density", "nearer to 1 is better"),
        ("sharpness", "nearer to held-out 30.0 is better"),
        ("bank_rows", ""),
    ],
)
def test_a_card_says_which_way_is_better_and_what_held_out_images_have(
    made: Cards, key: str, words: str
):
    place = [metric.key for metric in METRICS].index(key)
    assert made.numbers[place].better == words


@pytest.mark.parametrize(
    ("key", "how"),
    [
        ("memorised", "1000 samples against 4 training images, in pixels at 8 px"),
        ("recall", "1000 samples against 50 held-out images, in pixels at 8 px, K = 5"),
        ("frechet", "1000 samples against 50 held-out images, in pixels at 8 px"),
        ("memorised_pixels", "1000 samples against 4 training images, in pixels"),
        ("sharpness", "1000 samples"),
        ("vendi", "1000 samples, cosines about the mean training image, in pixels at 8 px"),
        ("bank_rows", "rows of the bank after the round before"),
    ],
)
def test_a_card_says_how_its_number_was_measured(made: Cards, key: str, how: str):
    place = [metric.key for metric in METRICS].index(key)
    assert made.numbers[place].how == how


def test_a_frechet_distance_that_is_missing_has_its_reason():
    why = "50 reference images: needs at least 100"
    place = [metric.key for metric in METRICS].index("frechet")
    assert of(frechet=None, frechet_reason=why).numbers[place].how == f"no value: {why}"


def test_a_number_that_is_missing_is_a_dash():
    rows = {run: {**row(place), "frechet": None} for place, run in enumerate(RUNS)}
    place = [metric.key for metric in METRICS].index("frechet")
    card = of(replace(MEASURED, rows=rows)).numbers[place]
    assert (card.value, card.baseline) == ("–", "–")
    assert "no value" in card.chart


def test_diagnoses_and_losses_have_cards(made: Cards):
    titles = [card.title for card in (*made.growth, *made.collapse)]
    assert titles == [
        "bank to reference", "reference to bank", "training loss",
        "collapse", "distance to memorising", "memorised by density",
    ]  # fmt: skip
    loss, density = made.growth[2], made.collapse[2]
    assert (loss.value, loss.baseline) == ("1.500", "1.000")
    assert "final 0.250, baseline 1.000; final –, baseline 0.000" in density.chart


def test_without_a_baseline_none_is_spoken_of_or_drawn():
    made = of(ALONE)
    for card in (*made.numbers, *made.growth, *made.collapse):
        assert card.baseline == "–"
        assert "baseline" not in card.chart
