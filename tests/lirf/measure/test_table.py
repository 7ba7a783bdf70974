"""The table: its keys are those that are measured, and what is better is worth more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.features import features
from lirf.measure import evaluation, table

VALUES = st.floats(-1e6, 1e6)


def test_what_is_measured_has_an_entry_and_no_entry_is_without_a_measure():
    images = np.random.default_rng(0).integers(0, 256, (3, 120, 1, 2, 2), np.uint8)
    found, _ = evaluation.measure(
        images[0], images[1], [images[2]], features.of("pixels"), 3, heldout=True
    )
    assert set(found) == {
        *(metric.key for metric in table.MEASURED), *table.CONTROLS,
        "frechet_reason", "memorised_ratio",
    }  # fmt: skip


def test_keys_and_titles_tell_metrics_apart():
    everything = (*table.METRICS, table.STEPS)
    for names in ([one.key for one in everything], [one.head for one in everything]):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("key", "head", "name"),
    [
        ("memorised", "memorised ↓", "memorised"),
        ("density", "density → 1", "density"),
        ("frechet", "Frechet ↓", "Frechet distance"),
        ("vendi", "Vendi ↑", "Vendi score"),
        ("memorised_pixels", "in pixels ↓", "memorised in pixels"),
        ("sharpness", "sharpness → held-out", "sharpness"),
        ("bank_rows", "bank rows", "bank rows"),
    ],
)
def test_names_in_tables_and_in_sentences(key, head, name):
    assert (table.BY_KEY[key].head, table.BY_KEY[key].name) == (head, name)


@given(a=VALUES, b=VALUES)
def test_worth_is_greater_where_a_metric_is_better(a, b):
    worth = {better: table.BY_KEY[key].worth for better, key in
             (("lower", "frechet"), ("higher", "vendi"), ("nearer to 1", "density"))}  # fmt: skip
    assert (worth["lower"](a) > worth["lower"](b)) == (a < b)
    assert (worth["higher"](a) > worth["higher"](b)) == (a > b)
    held_out = [table.BY_KEY["sharpness"].worth(value, 7.0) for value in (a, b)]
    assert (held_out[0] > held_out[1]) == (abs(a - 7) < abs(b - 7))
    assert (worth["nearer to 1"](a) > worth["nearer to 1"](b)) == (abs(a - 1) < abs(b - 1))


def test_optional_metrics_that_no_result_has_are_left_out():
    everything = {metric.key: 1.0 for metric in table.METRICS}
    without = everything | {"memorised_pixels": None, "frechet": None}
    del without["sharpness"]
    assert table.shown([everything]) == table.METRICS
    assert table.shown([without, everything]) == table.METRICS
    left_out = {"memorised_pixels", "sharpness"}  # the Frechet distance has a reason to show
    assert [one.key for one in table.shown([without])] == [
        one.key for one in table.METRICS if one.key not in left_out
    ]


def test_controls_go_by_the_keys_of_their_metrics():
    found = table.controls({"memorised_heldout": 0.0, "sharpness_heldout": None, "sharpness": 3.0})
    assert found == {"memorised": 0.0}
