"""Fields whose collapse is known, and the laws of ratios, bins and distances between sets."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, directed_hausdorff

from lirf.measure import collapse
from lirf.measure.duplicates import near_duplicates
from lirf.measure.memorised import MEMORISED_RATIO, find_memorised
from lirf.objectives import rectified
from lirf.objectives.base import Field

SPREAD = 1.5  # of the broad Gaussian whose population flow is known
SHAPE = (4, 2, 2)
PATHS, STEPS, BATCH = 300, 20, 128
seeds = st.integers(0, 2**32 - 1)


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


ANCHORS = SPREAD * normal(0, 60, *SHAPE)
ROWS = ANCHORS.flatten(1).numpy()
APART = np.arange(len(ROWS))  # every anchor is an image of its own
NONE = np.empty((len(ROWS), 0), np.int64)  # nor has any a near-duplicate
NOISE = normal(1, PATHS, *SHAPE)


def memorised(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return rectified.closed_form(x, t, ANCHORS)


def population(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Return E[x_1 - x_0 | x_t = x] for data from the Gaussian that the anchors are drawn from."""
    t = t.view(-1, 1, 1, 1)
    return x * (t * SPREAD**2 - (1 - t)) / ((1 - t) ** 2 + (t * SPREAD) ** 2)


def between(share: float) -> Field:
    return lambda x, t: (1 - share) * population(x, t) + share * memorised(x, t)


def follow(field: Field, batch: int = BATCH) -> collapse.Paths:
    return collapse.follow(field, NOISE, ANCHORS, STEPS, batch)


def near(paths: collapse.Paths) -> collapse.Nearness:
    return collapse.nearness(paths.ends.flatten(1).numpy(), ROWS, APART, NONE)


def is_memorised(found: collapse.Nearness) -> np.ndarray:
    return found.ratio < MEMORISED_RATIO


def score(paths: collapse.Paths) -> float:
    return collapse.score(near(paths), collapse.own_nearness(ROWS, APART, NONE))


def test_the_memorising_field_is_at_distance_zero_and_ends_on_anchors():
    paths = follow(memorised)
    assert paths.distance.tolist() == [0] * STEPS
    found = near(paths)
    assert is_memorised(found).mean() > 0.99
    assert np.median(found.distance) < 1e-5
    assert len(np.unique(found.anchor)) > 30
    assert score(paths) > 0.99


def test_the_population_s_own_flow_is_at_a_distance_and_ends_on_new_points():
    paths = follow(population)
    # With so many dimensions the anchors' posterior is one anchor's long before t = 1.
    assert paths.distance[0] < 0.5
    assert (paths.distance[STEPS // 2 :] > 0.7).all()
    assert is_memorised(near(paths)).sum() == 0
    assert abs(score(paths)) < 0.02
    assert paths.ends.std().item() == pytest.approx(SPREAD, rel=0.08)  # Euler's lag


def test_a_field_that_stands_still_is_at_distance_one():
    paths = follow(lambda x, _: torch.zeros_like(x))
    np.testing.assert_allclose(paths.distance, 1, rtol=1e-6)
    assert torch.equal(paths.ends, NOISE)


def test_the_score_grows_from_the_one_to_the_other():
    scores = [score(follow(between(share))) for share in (0, 0.3, 0.6, 0.9)]
    assert scores == sorted(scores)
    assert scores[0] < 0.02
    assert scores[-1] > 0.2


def test_the_field_is_asked_on_the_grid_and_never_at_one():
    asked = []

    def field(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        asked.append((len(x), *t.unique().tolist()))
        return population(x, t)

    t_S = follow(field).times
    assert t_S.tolist() == [step / STEPS for step in range(STEPS)]
    expected = [(size, t) for size in (128, 128, 44) for t in t_S.tolist()]
    assert asked == [(size, pytest.approx(t)) for size, t in expected]


def test_the_size_of_a_batch_does_not_matter():
    one, other = follow(between(0.5), 7), follow(between(0.5), PATHS)
    torch.testing.assert_close(one.ends, other.ends)
    np.testing.assert_allclose(one.distance, other.distance, rtol=1e-6)
    torch.testing.assert_close(collapse.ends(between(0.5), NOISE, STEPS, 50), other.ends)


def test_a_path_that_is_not_finite_is_named():
    def field(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        v = torch.zeros_like(x)
        v[NOISE[130, 0, 0, 0] == x[:, 0, 0, 0]] = torch.inf
        return v

    with pytest.raises(ValueError, match=r"^path 130 is not finite"):
        collapse.ends(field, NOISE, 2, BATCH)


@given(seeds, st.integers(2, 20), st.integers(1, 4), st.booleans())
def test_memorised_samples_are_those_of_the_metrics(
    seed: int, images: int, versions: int, near: bool
):
    """Nearest and second nearest image over all versions, as `find_memorised` finds them."""
    rng = np.random.default_rng(seed)
    train_VNF = rng.standard_normal((versions, images, 3)).astype(np.float32)
    fake_MF = rng.standard_normal((30, 3)).astype(np.float32)
    if near:
        fake_MF = train_VNF[rng.integers(versions), rng.integers(images)] + fake_MF / 20
    expected = find_memorised(fake_MF, train_VNF)
    group, rows_XF = np.tile(np.arange(images), versions), train_VNF.reshape(-1, 3)
    alike_XL = np.tile(near_duplicates(train_VNF), (versions, 1))
    found = collapse.nearness(fake_MF, rows_XF, group, alike_XL)
    assert group[found.anchor].tolist() == expected.nearest[:, 0].tolist()
    np.testing.assert_allclose(found.distance, expected.distance[:, 0], rtol=1e-5)
    np.testing.assert_allclose(found.ratio, expected.ratio, rtol=1e-5)
    assert is_memorised(found).tolist() == expected.memorised.tolist()


def test_a_mirrored_twin_is_the_same_image():
    anchors = np.array([[0.0], [0.2], [3.0], [3.2], [9.0]])
    twins, none = np.array([0, 0, 1, 1, 2]), np.empty((5, 0), np.int64)
    found = collapse.nearness(np.array([[0.1], [2.0], [9.0]]), anchors, twins, none)
    assert found.ratio.tolist() == pytest.approx([0.1 / 2.9, 1.0 / 1.8, 0])
    assert is_memorised(found).tolist() == [True, False, True]
    own = collapse.own_nearness(anchors, twins, none)
    assert own.anchor.tolist() == [2, 2, 1, 1, 3]
    assert own.ratio.tolist() == pytest.approx([3 / 9, 2.8 / 8.8, 2.8 / 6, 3 / 5.8, 5.8 / 8.8])


def test_the_score_of_new_images_is_zero_and_that_of_copies_one():
    own = collapse.own_nearness(ROWS, APART, NONE)
    assert collapse.score(own, own) == 0
    assert collapse.score(collapse.nearness(ROWS, ROWS, APART, NONE), own) == 1
    # Half of the samples are memorised, half are as new as the anchors to one another.
    halves = collapse.Nearness(own.anchor, own.distance, own.ratio * np.tile([0, 1], 30))
    assert collapse.score(halves, own) == pytest.approx(0.5, abs=0.03)


def test_near_duplicates_hide_no_collapse():
    """Anchors with a mirrored twin each, some of them a second and a third time."""
    groups = np.tile(APART, 2)
    twins = np.concatenate([ROWS, ROWS[:, ::-1]])
    rng = np.random.default_rng(0)
    twice = np.concatenate([twins, *(twins + 0.1 * rng.standard_normal((2, *twins.shape)))])
    copies = np.concatenate([groups, groups + 60, groups + 120])
    ends = np.concatenate([ROWS[:40] + 0.2, rng.standard_normal((20, 16))])

    def found(anchors: np.ndarray, group: np.ndarray) -> tuple[float, float]:
        known = anchors, group, collapse.near_duplicates(anchors, group)
        near = collapse.nearness(ends, *known)
        return collapse.score(near, collapse.own_nearness(*known)), is_memorised(near).mean()

    alone, beside = found(twins, groups), found(twice.astype(np.float32), copies)
    assert alone[1] > 0.5
    assert beside == pytest.approx(alone, abs=0.05)
    none = np.empty((len(copies), 0), np.int64)
    assert is_memorised(collapse.nearness(ends, twice, copies, none)).mean() < 0.1


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="use more images"):
        collapse.nearness(ROWS, ROWS[:2], np.zeros(2, int), NONE[:2])
    with pytest.raises(ValueError, match="use more images"):
        collapse.own_nearness(ROWS[:2], APART[:2], NONE[:2])


def test_bins_find_where_the_copies_are():
    """A dense cluster with new samples, and a sparse one with memorised ones."""
    dense, sparse = 0.1 * normal(2, 20, 4).numpy(), 10 + normal(3, 20, 4).numpy()
    anchors = np.concatenate([sparse, dense])
    samples = np.concatenate([dense.mean(0, keepdims=True).repeat(6, 0), sparse[:4] + 1e-3])
    found = collapse.nearness(samples, anchors, np.arange(40), NONE[:40])
    first, second = collapse.by_density(found, is_memorised(found), anchors, np.arange(40), 3, 2)
    assert (first.anchors, first.samples, first.memorised) == (20, 6, 0.0)
    assert (second.anchors, second.samples, second.memorised) == (20, 4, 1.0)
    assert first.low < first.high < second.low < second.high


@given(seeds, st.integers(1, 12))
def test_bins_are_a_partition(seed: int, bins: int):
    rng = np.random.default_rng(seed)
    anchors, samples = rng.standard_normal((2, 13, 2))
    found = collapse.nearness(samples, anchors, np.arange(13), NONE[:13])
    parts = collapse.by_density(found, is_memorised(found), anchors, np.arange(13), 2, bins)
    assert [part.anchors for part in parts] == [len(p) for p in np.array_split(range(13), bins)]
    assert sum(part.samples for part in parts) == 13
    assert all((part.memorised is None) == (part.samples == 0) for part in parts)
    memorised = sum(part.memorised * part.samples for part in parts if part.memorised is not None)
    assert memorised == pytest.approx(is_memorised(found).sum())
    edges = [edge for part in parts for edge in (part.low, part.high)]
    assert edges == sorted(edges)


def test_more_bins_than_anchors_are_refused():
    own = collapse.own_nearness(ROWS, APART, NONE)
    with pytest.raises(ValueError, match="61 bins for 60 anchors"):
        collapse.by_density(own, is_memorised(own), ROWS, APART, 2, 61)


@given(seeds, st.integers(1, 30), st.integers(1, 30), st.integers(1, 8))
def test_directed_hausdorff_distances(seed: int, m: int, n: int, dimension: int):
    rng = np.random.default_rng(seed)
    a, b, c = (rng.standard_normal((k, dimension)).astype(np.float32) for k in (m, n, 5))
    there, back = collapse.hausdorff(a, b), collapse.hausdorff(b, a)
    assert there.greatest == pytest.approx(directed_hausdorff(a, b)[0], rel=1e-5)
    assert there.mean == pytest.approx(cdist(a, b).min(axis=1).mean(), rel=1e-5)
    assert there.mean <= there.greatest * (1 + 1e-12)
    # Triangle inequality, and a set that contains the other.
    by_c = collapse.hausdorff(a, c).greatest + collapse.hausdorff(c, b).greatest
    assert there.greatest <= by_c * (1 + 1e-6)
    both = np.concatenate([a, b])
    assert collapse.hausdorff(a, both).greatest == 0
    assert collapse.hausdorff(both, a).greatest == back.greatest
