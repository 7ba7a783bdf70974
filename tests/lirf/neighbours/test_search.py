"""The neighbours are exact, ties are settled by index, and near copies keep their distances."""

import subprocess
import sys
import tracemalloc

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lirf.neighbours import search
from lirf.neighbours.search import Metric, nearest, nearest_of_others, spacing

METRICS: list[Metric] = ["cosine", "euclidean"]


def brute_force(
    query_MD: np.ndarray, anchors_ND: np.ndarray, k: int, metric: Metric
) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs, sorted: a list of (value, index) a query, in plain Python order."""
    rows = []
    for query_D in query_MD.astype(np.float64):
        pairs = []
        for index, anchor_D in enumerate(anchors_ND.astype(np.float64)):
            if metric == "euclidean":
                cost = np.sqrt(((query_D - anchor_D) ** 2).sum())
            else:
                norms = np.sqrt((query_D**2).sum() * (anchor_D**2).sum())
                cost = -(query_D @ anchor_D) / norms if norms else 0.0
            pairs.append((np.float32(cost), index))
        rows.append(sorted(pairs)[:k])
    sign = -1 if metric == "cosine" else 1
    costs_MK = np.array([[cost for cost, _ in row] for row in rows])
    return np.array([[index for _, index in row] for row in rows]), sign * costs_MK


@pytest.mark.parametrize("metric", METRICS)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    dimension=st.integers(1, 9),
    k=st.integers(1, 12),
    offset=st.sampled_from([0.0, 1.0, 1e4]),
)
def test_equals_brute_force(
    metric: Metric, seed: int, count: int, dimension: int, k: int, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    k = min(k, count)
    anchors = (rng.standard_normal((count, dimension)) + offset).astype(np.float32)
    queries = (rng.standard_normal((7, dimension)) + offset).astype(np.float32)
    indices, values = nearest(queries, anchors, k, metric)
    expected_indices, expected_values = brute_force(queries, anchors, k, metric)
    np.testing.assert_allclose(values, expected_values, rtol=3e-7, atol=2e-7 * (metric == "cosine"))
    # An index may differ only where float32 values tie up to the last bit of the two summations.
    ties = np.abs(values - expected_values) <= 3e-7 * np.abs(values)
    assert ((indices == expected_indices) | ties).all()
    assert indices.dtype == np.int64
    assert values.dtype == np.float32


@pytest.mark.parametrize("metric", METRICS)
def test_large_search_goes_through_faiss_and_is_exact(metric: Metric) -> None:
    rng = np.random.default_rng(0)
    anchors = rng.standard_normal((900, 64)).astype(np.float32)
    queries = rng.standard_normal((60, 64)).astype(np.float32)
    indices, values = nearest(queries, anchors, 3, metric)
    expected_indices, expected_values = brute_force(queries, anchors, 3, metric)
    assert (indices == expected_indices).all()
    np.testing.assert_allclose(values, expected_values, rtol=1e-6)


def test_near_copies_far_from_the_origin_keep_their_distances() -> None:
    """Where FAISS alone loses them: 200 points within 1e-3 of each other at distance 1e3."""
    rng = np.random.default_rng(1)
    anchors = (1e3 + 1e-3 * rng.standard_normal((200, 16))).astype(np.float32)
    queries = anchors[:50] + np.float32(2**-13)
    indices, values = nearest(queries, anchors, 4, "euclidean")
    expected_indices, expected_values = brute_force(queries, anchors, 4, "euclidean")
    np.testing.assert_allclose(values, expected_values, rtol=1e-6)
    assert (indices == expected_indices).mean() > 0.98  # the rest tie in float32

    index = faiss.IndexFlatL2(16)
    index.add(anchors)
    squared, _ = index.search(np.repeat(queries, 400, axis=0), 4)
    alone = np.sqrt(np.maximum(squared[::400], 0))
    assert np.abs(alone / expected_values - 1).max() > 0.01, "this test no longer tests anything"


@pytest.mark.parametrize("metric", METRICS)
def test_more_near_ties_than_spares_are_settled_exactly(metric: Metric) -> None:
    """The nearest rows hide among 500 that FAISS cannot tell apart; the search must widen."""
    rng = np.random.default_rng(2)
    direction = rng.standard_normal(8)
    anchors = np.tile(direction, (3000, 1)) + 1e-6 * rng.standard_normal((3000, 8))
    anchors[:2500] += rng.standard_normal((2500, 8))
    anchors = (100 * anchors).astype(np.float32)
    queries = anchors[2900:]
    indices, values = nearest(queries, anchors, 3, metric)
    expected_indices, expected_values = brute_force(queries, anchors, 3, metric)
    np.testing.assert_allclose(values, expected_values, rtol=1e-6)
    np.testing.assert_array_equal(indices, expected_indices)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_come_in_the_order_of_the_index(metric: Metric) -> None:
    anchors = np.repeat(np.eye(4, dtype=np.float32), 20, axis=0)
    indices, _ = nearest(np.eye(4, dtype=np.float32), anchors, 5, metric)
    np.testing.assert_array_equal(indices, 20 * np.arange(4)[:, None] + np.arange(5))


@pytest.mark.parametrize("metric", METRICS)
def test_more_copies_than_proposals_come_in_the_order_of_the_index(metric: Metric) -> None:
    points = np.random.default_rng(9).standard_normal((1500, 600), np.float32)
    memorised = np.sort(np.random.default_rng(10).choice(1500, 40, replace=False))
    points[memorised] = points[memorised[0]]
    indices, values = nearest(points, points, 3, metric, exclude_self=True)
    np.testing.assert_array_equal(indices[memorised[3:]], np.tile(memorised[:3], (37, 1)))
    np.testing.assert_array_equal(indices[memorised[1]], memorised[[0, 2, 3]])
    np.testing.assert_allclose(values[memorised], 1 if metric == "cosine" else 0, atol=1e-7)


@pytest.mark.parametrize("metric", METRICS)
def test_no_row_is_its_own_neighbour(metric: Metric) -> None:
    rng = np.random.default_rng(3)
    points = np.repeat(rng.standard_normal((30, 5)), 2, axis=0).astype(np.float32)  # twins
    indices, values = nearest(points, points, 1, metric, exclude_self=True)
    np.testing.assert_array_equal(indices[:, 0], np.arange(60) ^ 1)  # the twin, never the row
    np.testing.assert_allclose(values, 1 if metric == "cosine" else 0, atol=1e-7)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), metric=st.sampled_from(METRICS))
def test_leave_one_out_equals_removing_the_group(seed: int, metric: Metric) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((40, 4)).astype(np.float32)
    group = rng.integers(0, 12, size=40)
    indices, values = nearest_of_others(points, group, points, group, 3, metric)
    for row in range(40):
        others = np.flatnonzero(group != group[row])
        expected, cost = nearest(points[[row]], points[others], 3, metric)
        np.testing.assert_array_equal(indices[row], others[expected[0]])
        np.testing.assert_array_equal(values[row], cost[0])


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_change_nothing(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    anchors = rng.standard_normal((100, 6)).astype(np.float32)
    queries = rng.standard_normal((37, 6)).astype(np.float32)
    whole = nearest(queries, anchors, 3, metric)
    monkeypatch.setattr(search, "CACHE_BYTES", 1)
    monkeypatch.setattr(search, "SEARCHED", 1)
    for expected, got in zip(whole, nearest(queries, anchors, 3, metric, memory=1), strict=True):
        np.testing.assert_array_equal(got, expected)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    metric=st.sampled_from(METRICS),
    k=st.integers(1, 4),
    memory=st.sampled_from([8000, 2**20]),
    offset=st.sampled_from([0.0, 30.0]),
    kind=st.sampled_from(["apart", "memorised", "near", "all alike"]),
)
def test_rows_among_themselves_equal_brute_force(
    seed: int, metric: Metric, k: int, memory: int, offset: float, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    points = (rng.standard_normal((150, 6)) + offset).astype(np.float32)
    if kind != "apart":
        points[40:110] = points[1 if kind == "all alike" else rng.integers(0, 40, 70)]
    if kind == "near":
        points[40:110] += 1e-6 * rng.standard_normal((70, 6)).astype(np.float32)
    group = rng.integers(0, 100, len(points))
    indices, values = nearest_of_others(points, group, points, group, k, metric, memory)
    for row in range(0, 150, 10):
        others = np.flatnonzero(group != group[row])
        cost = search._cost(points[[row]].repeat(len(others), 0), points[others], metric)
        order = np.lexsort((others, cost))[:k]
        np.testing.assert_array_equal(indices[row], others[order])
        np.testing.assert_array_equal(
            values[row], -cost[order] if metric == "cosine" else cost[order]
        )


@pytest.mark.parametrize("metric", METRICS)
def test_the_search_keeps_to_its_memory(metric: Metric) -> None:
    points = np.random.default_rng(8).standard_normal((3000, 1024), np.float32)
    memory = 4 * points.nbytes
    tracemalloc.start()
    try:
        nearest(points, points, 2, metric, exclude_self=True, memory=memory)
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_the_scale_of_the_data_does_not_matter(scale: float) -> None:
    rng = np.random.default_rng(5)
    points = rng.standard_normal((60, 6))
    plain, scaled = points.astype(np.float32), (scale * points).astype(np.float32)
    indices, values = nearest(plain, plain, 3, "euclidean", exclude_self=True)
    scaled_indices, scaled_values = nearest(scaled, scaled, 3, "euclidean", exclude_self=True)
    np.testing.assert_array_equal(scaled_indices, indices)
    np.testing.assert_allclose(scaled_values, scale * values, rtol=1e-5)


def test_a_zero_row_has_cosine_zero() -> None:
    anchors = np.array([[1, 0], [0, 0]], np.float32)
    _, values = nearest(np.zeros((1, 2), np.float32), anchors, 2, "cosine")
    np.testing.assert_array_equal(values, 0)


def test_spacing_is_the_median_nearest_distance_between_groups() -> None:
    line = np.array([[0.0], [0.1], [1.0], [1.1], [4.0]], np.float32)
    assert spacing(line, np.arange(5)) == pytest.approx(0.1)
    assert spacing(line, np.array([0, 0, 1, 1, 2])) == pytest.approx(1.0)  # 1 .9 .9 1 2.9


def test_too_few_anchors_is_one_line() -> None:
    points = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match=r"^4 neighbours .* only 3 rows .*lower.*$"):
        nearest(points, points, 4, "cosine")
    with pytest.raises(ValueError, match=r"^3 neighbours .* only 2 rows"):
        nearest(points, points, 3, "cosine", exclude_self=True)
    with pytest.raises(ValueError, match=r"^2 neighbours .* only 1 rows"):
        nearest_of_others(points, np.array([0, 0, 1]), points, np.array([0, 0, 1]), 2, "cosine")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_named(value: float) -> None:
    points, broken = np.ones((4, 3), np.float32), np.ones((4, 3), np.float32)
    broken[2, 1] = value
    with pytest.raises(ValueError, match="query row 2 is not finite"):
        nearest(broken, points, 1, "cosine")
    with pytest.raises(ValueError, match="anchor row 2 is not finite"):
        nearest(points, broken, 1, "euclidean")


@pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="needs a GPU")
@pytest.mark.parametrize("metric", METRICS)
def test_the_gpu_finds_what_the_cpu_finds(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    anchors = rng.standard_normal((2000, 256)).astype(np.float32)
    queries = rng.standard_normal((500, 256)).astype(np.float32)
    on_gpu = nearest(queries, anchors, 3, metric)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    for expected, got in zip(nearest(queries, anchors, 3, metric), on_gpu, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "order", ["torch, lirf.neighbours.search", "lirf.neighbours.search, torch"]
)
def test_faiss_and_torch_share_a_process(order: str) -> None:
    """Both bring an OpenMP runtime: each must still compute after the other, without a word."""
    program = (
        f"import {order}\n"
        "import numpy as np\n"
        "x = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float32)\n"
        "y = torch.from_numpy(x)\n"
        "best = (y @ y.T).fill_diagonal_(-1e9).div(y.norm(dim=1)).argmax(1).numpy()\n"
        "indices, _ = lirf.neighbours.search.nearest(x, x, 1, 'cosine', exclude_self=True)\n"
        "print((indices[:, 0] == best).mean() == 1)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
