"""Scratch: one fingerprint at a time, whole checkpoints, and the last one that can be read."""

from pathlib import Path

import numpy as np
import pytest

from stages.support import scratch


def write(text: str):
    def into(folder: Path) -> None:
        folder.mkdir()
        (folder / "text").write_text(text)

    return into


def read(folder: Path) -> str:
    text = (folder / "text").read_text()
    if text == "damaged":
        raise ValueError
    return text


def test_a_checkpoint_replaces_the_one_before(tmp_path: Path):
    assert scratch.resume(tmp_path, read) is None
    for step in (9, 10, 100):
        scratch.keep(tmp_path, step, write(str(step)))
        assert scratch.resume(tmp_path, read) == str(step)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000100"]
    scratch.keep(tmp_path, 100, write("again"))
    assert scratch.resume(tmp_path, read) == "100"


def test_a_checkpoint_that_was_cut_off_does_not_count(tmp_path: Path):
    scratch.keep(tmp_path, 1, write("whole"))

    def killed(folder: Path) -> None:
        folder.mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scratch.keep(tmp_path, 2, killed)
    assert scratch.resume(tmp_path, read) == "whole"
    scratch.keep(tmp_path, 2, write("two"))
    assert scratch.resume(tmp_path, read) == "two"


def test_a_damaged_checkpoint_is_deleted_and_the_one_before_used(tmp_path: Path):
    write("whole")(tmp_path / "step-000000001")
    write("damaged")(tmp_path / "step-000000002")
    assert scratch.resume(tmp_path, read) == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


def test_one_fingerprint_and_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scratch, "ENDING_S", 0.1)
    with scratch.claim(tmp_path / "work", "one") as folder:
        (folder / "kept").touch()
        with (
            pytest.raises(ValueError, match=r"work: another process is at work there"),
            scratch.claim(tmp_path / "work", "two"),
        ):
            pass
    with scratch.claim(tmp_path / "work", "one") as folder:
        assert (folder / "kept").exists()
    with scratch.claim(tmp_path / "work", "two") as folder:
        assert not any(folder.iterdir())
        assert not (tmp_path / "work" / "one").exists()


def test_a_fingerprint_is_of_numbers_bytes_and_code(tmp_path: Path):
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for path, text in ((one, "a"), (same, "a"), (other, "b")):
        path.write_text(text)
    found = [
        scratch.fingerprint(stage, numbers, [path])
        for stage, numbers, path in (
            ("train", (1, "x"), one),
            ("train", (1, "x"), same),
            ("train", (1, "x"), other),
            ("train", (2, "x"), one),
            ("sample", (1, "x"), one),
        )
    ]
    assert found[0] == found[1]
    assert len(set(found)) == 4


def test_an_array_is_there_whole_or_not_at_all(tmp_path: Path):
    path, array = tmp_path / "lot-000.npy", np.arange(6, dtype=np.float32).reshape(2, 3)
    assert scratch.read_array(path) is None
    scratch.keep_array(path, array)
    kept = scratch.read_array(path)
    assert kept is not None
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept, array)
    assert [*tmp_path.iterdir()] == [path]
    path.write_bytes(path.read_bytes()[:-1])
    assert scratch.read_array(path) is None
