"""Tables as text: every value in its column, and what is written exactly is read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.report import tables

VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"))
)


def test_markdown_has_a_line_a_row_and_numbers_on_the_right():
    text = tables.markdown(["", "a", "b"], [["x", "1", "2"]])
    assert text == "|  | a | b |\n|---|---:|---:|\n| x | 1 | 2 |"
    assert tables.markdown(["n", "t", "a", "b"], [], "rlr").endswith("|---:|---|---:|---:|")


def test_tsv_has_a_row_each_and_the_keys_of_all():
    text = tables.tsv([{"round": "r01", "a": 1.5}, {"round": "final", "a": None, "b": "x"}])
    assert text == "round\ta\tb\nr01\t1.5\t\nfinal\t\tx\n"


def test_keys_choose_the_columns_also_of_no_rows():
    assert tables.tsv([{"a": 1, "b": 2}], ["b"]) == "b\n2\n"
    assert tables.tsv([], ["step", "loss"]) == "step\tloss\n"


def test_short_has_six_digits_of_a_float_alone():
    rows = tables.transposed({"step": [1234567], "loss": [1.23456789], "none": [None]})
    assert tables.tsv(rows, write=tables.short) == "step\tloss\tnone\n1234567\t1.23457\t\n"


@given(st.lists(st.fixed_dictionaries({"a": VALUES, "b": VALUES}), min_size=1))
def test_what_is_written_exactly_is_read_back(rows):
    found = tables.parse(tables.tsv(rows, write=tables.exact))
    assert found == rows
    kinds = [(type(row["a"]), type(row["b"])) for row in rows]
    assert [(type(row["a"]), type(row["b"])) for row in found] == kinds


def test_a_damaged_line_is_named():
    with pytest.raises(ValueError, match="line 3 has 1 cells, the header 2"):
        tables.parse("a\tb\n1\t2\n3\n")
