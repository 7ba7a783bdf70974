"""Search, correction and admission against matrix products, and against the dense formulation.

The share is of a float32 matrix product: the operations of the products that are asked for (one for
every search of M rows among N), over the time, over what the machine does of them beside it. Rows
among themselves take half of theirs, and all are counted: a share can exceed 1. Correction asks for
three products and computes two and a half; by those its share is 5/6 of what is said.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lirf.densify import correction, farthest
from lirf.neighbours import search
from lirf.params import Correct
from lirf.store.rows import Room, blocks

SHAPE = (4, 32, 32)
D = 4 * 32 * 32
CONFIG = Correct(
    operator="tangent", window=None, reach=0, references="real",
    neighbours=4, temperature=1.0, dimensions=2,
)  # fmt: skip
clock = pytest.mark.benchmark(timer=time.process_time)


def latents(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *SHAPE), np.float32)


@clock
def test_search(paired, machine, full, say):
    """A block of 2,000 queries among 10,000 anchors."""
    m, n = (2000, 10_000) if full else (20, 50)
    z, bank = latents(0, m).reshape(m, D), latents(1, n).reshape(n, D)
    product, took = paired(lambda: search.nearest(z, bank, 4, "euclidean"), machine.sgemm, rounds=5)
    say(f"search {m} x {n} x {D}: {took:.2f} s, {2 * m * n * D / product:.2f} of the ceiling")


def dense(z_MD: np.ndarray, bank_ND: np.ndarray, precision=torch.float32) -> np.ndarray:
    """Correct as one writes it down: all distances, all neighbours, one reduction."""
    z, bank = (torch.from_numpy(x).to(precision) for x in (z_MD, bank_ND))
    squared_MN = z.square().sum(1)[:, None] + bank.square().sum(1) - 2 * z @ bank.T
    beside_MKD = bank[squared_MN.topk(CONFIG.neighbours, largest=False).indices]
    mean_MD = beside_MKD.mean(dim=1)
    axes_MdD = torch.linalg.svd(beside_MKD - mean_MD[:, None], full_matrices=False)[2][:, :2]
    offset_MD = z - mean_MD
    along_Md = torch.einsum("mdx,mx->md", axes_MdD, offset_MD)
    return (z - 0.5 * (offset_MD - torch.einsum("md,mdx->mx", along_Md, axes_MdD))).numpy()


@clock
def test_correction(paired, machine, full, say):
    """All of a round's: candidates, their novelty, and every anchor left out of its own."""
    m = n = 10_000 if full else 40
    z, bank = latents(0, m), latents(1, n)
    real, group = np.ones(n, bool), np.arange(n)
    before = machine.forget_peak()
    done = []

    def correct():
        done[:] = [correction.measure(z, bank, real, group, CONFIG, 0.5)]

    product, took = paired(correct, machine.sgemm, rounds=1)
    operations = 2 * D * (2 * m * n + n * n)
    say(
        f"correction {m} x {n} x {D}: {took:.1f} s, {operations / product:.2f} of the ceiling,"
        f" peak {machine.peak_gib():.2f} GiB (inputs made: {before:.2f})"
    )
    # In float32 the dense formulation takes another neighbour where two are all but equally near.
    few = m // 20
    expected = dense(z[:few].reshape(-1, D), bank.reshape(n, D), torch.float64)
    np.testing.assert_allclose(done[0].latents[:few].reshape(few, D), expected, atol=2e-4)


@clock
def test_correction_beside_the_dense_formulation(paired, machine, full, say):
    m, n = (1000, 10_000) if full else (20, 50)
    z, bank = latents(0, m).reshape(m, D), latents(1, n).reshape(n, D)
    into = np.empty_like(z)

    def streamed():
        found, _ = search.nearest(z, bank, 4, "euclidean")
        correction.apply(z, bank, found, CONFIG, 0.5, into)

    product, took = paired(streamed, lambda: 1 / machine.seconds(lambda: dense(z, bank)), rounds=3)
    say(f"correction {m} x {n}: {took:.2f} s, {1 / product:.2f} times as fast as the dense one")
    np.testing.assert_allclose(into, dense(z, bank, torch.float64), atol=2e-4)


@clock
@pytest.mark.parametrize("m", [16_384, 100_000], ids=["block", "whole"])
def test_search_of_many(paired, machine, full, say, m: int):
    """100,000 queries among as many anchors, all in files, in 2 GiB: one block of them, and all."""
    m, n = (m, 100_000) if full else (m // 1000, 60)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        room = Room(0, Path(folder))
        z, bank = room.empty((m, D)), room.empty((n, D))
        for rows, seed in ((z, 0), (bank, 1)):
            generator = np.random.default_rng(seed)
            for some in blocks(len(rows), 1, 1000):
                rows[some] = generator.standard_normal((some.stop - some.start, D), np.float32)
        before = machine.forget_peak()
        product, took = paired(
            lambda: search.nearest(z, bank, 4, "euclidean"), machine.sgemm, rounds=1
        )
    say(
        f"search {m} (of {n}) x {n} x {D}: {took:.1f} s,"
        f" {2 * m * n * D / product:.2f} of the ceiling,"
        f" peak {machine.peak_gib():.2f} GiB (before: {before:.2f})"
    )


@clock
@pytest.mark.parametrize(("count", "dimension"), [(2000, 4096), (10_000, 64), (20_000, 8)])
def test_the_thinnest_share(paired, machine, full, say, one_by_one, count: int, dimension: int):
    count = count if full else 200
    rows = np.random.default_rng(0).standard_normal((count, dimension), np.float32)
    gap = np.full(count, 4.0 * dimension**0.5)
    share = count // 2
    found, expected = [], []

    def fronts():
        found[:] = farthest.first(rows, gap.copy(), share).tolist()

    def naive():
        expected[:] = one_by_one(rows, gap, share)

    product, took = paired(fronts, lambda: 1 / machine.seconds(naive), rounds=1)
    say(
        f"thinnest {share} of {count} x {dimension}: {took:.2f} s,"
        f" {1 / product:.1f} times as fast as one by one"
    )
    assert found == (expected or one_by_one(rows, gap, share))
