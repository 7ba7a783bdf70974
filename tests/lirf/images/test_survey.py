"""What is found in a folder of images, and how time limits it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lirf.images import survey


def save(path: Path, seed: int, side: int = 40, mode: str = "RGB", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((side, side + 9)).convert(mode).save(path, **options)
    return path


def test_counts_sizes_colour_and_folders(tmp_path: Path):
    for seed in range(5):
        save(tmp_path / f"{'ab'[seed % 2]}/{seed}.png", seed, side=40 + seed)
    save(tmp_path / "val/6.jpg", 6, side=90)
    (tmp_path / "notes.txt").touch()
    found = survey.survey(tmp_path, seconds=60)
    assert (found.count("train"), found.count("heldout"), found.others.ignored) == (5, 1, 1)
    assert (found.sides, found.grey, found.whole) == ((40, 90), False, 6)
    assert found.classes == {"a": 3, "b": 2}
    assert (found.bad, found.near, found.pairs) == ([], 0, [])


def test_grey_images_have_no_colour(tmp_path: Path):
    for seed, mode in enumerate(("L", "LA", "1")):
        save(tmp_path / f"{seed}.png", seed, mode=mode)
    assert survey.survey(tmp_path, seconds=60).grey


def test_near_duplicates_are_named_in_order(tmp_path: Path):
    for seed in range(4):
        save(tmp_path / f"{seed}.png", seed)
    save(tmp_path / "2-again.jpg", 2, quality=40)
    found = survey.survey(tmp_path, seconds=60)
    assert (found.near, found.pairs) == (1, [("2-again.jpg", "2.png")])


def test_an_image_without_its_end_marker_is_read_and_half_of_one_is_not(tmp_path: Path):
    for seed in range(2):
        path = save(tmp_path / f"{seed}.jpg", seed, side=200)
        content = path.read_bytes()
        path.write_bytes(content[:-2] if seed == 0 else content[: len(content) // 2])
    found = survey.survey(tmp_path, seconds=60)
    assert len(found.images) == 2
    assert [line.split(":")[0] for line in found.bad] == [str(tmp_path / "1.jpg")]


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_when_the_time_is_up_the_others_are_known_by_their_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
):
    monkeypatch.setattr(survey, "LOT", 2)
    for seed in range(7):
        save(tmp_path / f"{seed}.png", seed)
    found = survey.survey(tmp_path, seconds)
    assert len(found.images) == 7
    assert found.whole == (7 if seconds else 2)
