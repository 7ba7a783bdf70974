"""A training that is cut: it goes on, keeps what it may, and its curve is short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages.support import resumable
from stages.support.resumable import Resumable


def save(state: list[float], folder: Path) -> None:
    folder.mkdir()
    (folder / "state").write_text(" ".join(map(str, state)))


def load(folder: Path) -> list[float]:
    return [float(word) for word in (folder / "state").read_text().split()]


def begin(folder: Path, steps: int = 10, every: int = 4) -> Resumable[list[float]]:
    work = Resumable(folder, list[float](), steps, every, save)
    work.resume(load)
    return work


def advance(
    work: Resumable[list[float]], most: int = 1000
) -> Callable[[int], Iterator[dict[str, float]]]:
    """Return what takes steps of a training whose state is its losses, `most` in all."""

    def steps(count: int) -> Iterator[dict[str, float]]:
        for _ in range(min(count, most - len(work.state))):
            work.state.append(1 / (1 + len(work.state)))
            yield {"loss": work.state[-1], "other": len(work.state)}

    return steps


def kept(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_it_ends_with_a_checkpoint_and_a_finished_one_is_not_repeated(tmp_path: Path) -> None:
    work = begin(tmp_path)
    assert len(list(work.run(advance(work), int))) == 10
    assert kept(tmp_path) == ["step-000000010"]
    again = begin(tmp_path)
    assert not list(again.run(advance(again), int))
    assert again.state == pytest.approx(work.state)
    assert [list(losses) for losses in again.curve] == [["loss", "other"]] * 10
    assert [losses["other"] for losses in again.curve] == list(range(1, 11))


def test_a_killed_one_goes_on_from_the_last_multiple(tmp_path: Path) -> None:
    work = begin(tmp_path)
    for _ in work.run(advance(work), int):
        if len(work.curve) == 7:
            break
    assert kept(tmp_path) == ["step-000000004"]
    again = begin(tmp_path)
    assert len(again.curve) == 4
    assert len(list(again.run(advance(again), int))) == 6


def test_one_that_has_seen_enough_or_is_interrupted_keeps_where_it_is(tmp_path: Path) -> None:
    work = begin(tmp_path / "a")
    (tmp_path / "a").mkdir()
    list(work.run(advance(work, most=6), int))
    assert kept(tmp_path / "a") == ["step-000000006"]
    (tmp_path / "b").mkdir()
    work = begin(tmp_path / "b")
    list(work.run(advance(work), lambda: 15))
    assert kept(tmp_path / "b") == ["step-000000004"]


def test_another_process_writes_nothing(tmp_path: Path) -> None:
    work = Resumable(tmp_path, list[float](), 10, 4, None)
    list(work.run(advance(work), int))
    assert len(work.curve) == 10
    assert not kept(tmp_path)


def test_a_curve_has_means_of_bins_at_their_last_step(tmp_path: Path) -> None:
    curve = [{"loss": float(step), "kl": 1.0} for step in range(1, 1001)]
    resumable.write_curve(tmp_path / "a.tsv", curve, ["unused"], before=100)
    header, first, *_, last = (tmp_path / "a.tsv").read_text().splitlines()
    assert [header, first, last] == ["step\tloss\tkl", "102\t1.5\t1", "1100\t999.5\t1"]
    resumable.write_curve(tmp_path / "b.tsv", [], ["loss"])
    assert (tmp_path / "b.tsv").read_text() == "step\tloss\n"
