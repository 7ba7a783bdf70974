"""Every latent is traced to real ones, and its shares are those of its lines of descent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.store import lineage

ROWS = [
    {"id": "a", "parents": None, "weights": None},
    {"id": "b", "parents": None, "weights": None},
    {"id": "c", "parents": None, "weights": None},
    {"id": "d", "parents": ["a", "b"], "weights": [0.75, 0.25]},
    {"id": "e", "parents": ["d", "a", "c"], "weights": [0.4, 0.5, 0.1]},
    {"id": "f", "parents": ["d", "e"], "weights": [0.5, 0.5]},
]


def test_shares_are_products_of_weights_along_every_line():
    tree = lineage.build(ROWS)
    assert tree.shares(0) == {0: 1.0}
    assert tree.shares(4) == pytest.approx({0: 0.4 * 0.75 + 0.5, 1: 0.1, 2: 0.1})
    assert list(tree.shares(4)) == [0, 1, 2]
    assert tree.shares(5) == pytest.approx({0: 0.375 + 0.4, 1: 0.125 + 0.05, 2: 0.05})


def test_ancestors_are_a_row_and_all_before_it_in_its_line():
    tree = lineage.build(ROWS)
    assert tree.ancestors([3]) == [0, 1, 3]
    assert tree.ancestors([5]) == [0, 1, 2, 3, 4, 5]
    assert tree.ancestors([]) == []


def test_a_parent_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"^d: its parent b is not in the bank before it"):
        lineage.build([ROWS[0], ROWS[3]])


@st.composite
def trees(draw):
    real = draw(st.integers(1, 4))
    rows = [{"id": str(i), "parents": None, "weights": None} for i in range(real)]
    for i in range(real, real + draw(st.integers(0, 12))):
        parents = draw(st.lists(st.sampled_from(range(i)), min_size=1, max_size=4, unique=True))
        parts = [draw(st.integers(1, 9)) for _ in parents]
        weights = [part / sum(parts) for part in parts]
        rows.append({"id": str(i), "parents": [str(p) for p in parents], "weights": weights})
    return lineage.build(rows)


@given(trees())
def test_shares_sum_to_one_over_the_real_ancestors(tree):
    for place in range(len(tree.parents)):
        shares = tree.shares(place)
        assert sum(shares.values()) == pytest.approx(1)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
        roots = {row for row in tree.ancestors([place]) if not tree.parents[row]}
        assert set(shares) == roots


@given(trees(), st.integers(0, 20))
def test_as_many_of_every_group_are_taken_as_fit(tree, most):
    places = range(len(tree.parents))
    groups = [list(places[::2]), list(places[1::2])]
    counts = (4, 2, 1)
    found = lineage.first(tree, groups, counts, most)
    fits = [
        c for c in counts
        if len(tree.ancestors([row for group in groups for row in group[:c]])) <= most
    ]  # fmt: skip
    assert found == [group[: max(fits, default=1)] for group in groups]
