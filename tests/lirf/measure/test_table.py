"""The table: its keys are those that are measured, and what is better is worth more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.measure import evaluation, table

VALUES = st.floats(-1e6, 1e6)


def test_what_is_measured_has_an_entry_and_no_entry_is_without_a_measure():
    rows = np.random.default_rng(0).normal(size=(3, 120, 4))
    found, _ = evaluation.compare(rows[0], rows[1], rows[2:], neighbours=3)
    assert set(found) == {metric.key for metric in table.MEASURED} | {"frechet_reason"}


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
    assert (worth["nearer to 1"](a) > worth["nearer to 1"](b)) == (abs(a - 1) < abs(b - 1))
