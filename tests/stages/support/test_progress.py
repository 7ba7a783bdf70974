"""Progress can be read by a program when nobody is at a terminal."""

import json

import pytest

from stages.support import progress


def test_lines_name_the_label_and_end_complete(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    assert list(progress.track("abc", total=3, label="train r01")) == ["a", "b", "c"]
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith(progress.PREFIX) for line in lines)
    reports = [json.loads(line.removeprefix(progress.PREFIX)) for line in lines]
    assert [report["done"] for report in reports] == [1, 2, 3]
    assert reports[-1] == {"done": 3, "total": 3, "label": "train r01"}


def test_at_most_one_line_a_second(capsys: pytest.CaptureFixture[str]):
    list(progress.track(range(1000), total=1000, label="sample r01"))
    assert len(capsys.readouterr().err.splitlines()) == 1
