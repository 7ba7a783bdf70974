"""JSON and checksums: the same bytes for the same content, one line for what is wrong."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf.store import files

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_json_is_read_back_and_does_not_depend_on_order(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, object]
):
    folder = tmp_path_factory.mktemp("json")
    files.write_json(folder / "a", document)
    files.write_json(folder / "b", dict(reversed(document.items())))
    assert files.read_json(folder / "a") == document
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff\xfe", b'"text"'])
def test_what_is_no_object_is_named(tmp_path: Path, content: bytes | None):
    path = tmp_path / "some.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.json: (missing|damaged).*dvc"):
        files.read_json(path)


def test_another_version_is_refused(tmp_path: Path):
    files.write_json(tmp_path / "part.json", {"format": 2})
    with pytest.raises(ValueError, match=r"part\.json: format 2 is not 1.*dvc repro"):
        files.read_versioned(tmp_path / "part.json", 1)


def test_a_changed_or_missing_file_is_named(tmp_path: Path):
    (tmp_path / "below").mkdir()
    for name in ("a", "below/b"):
        (tmp_path / name).write_text(name)
    expected = files.checksums(tmp_path)
    assert list(expected) == ["a", "below/b"]
    files.verify(tmp_path, expected)
    (tmp_path / "below" / "b").write_text("c")
    with pytest.raises(ValueError, match="below/b: damaged"):
        files.verify(tmp_path, expected)
    (tmp_path / "a").unlink()
    with pytest.raises(ValueError, match="a: missing"):
        files.verify(tmp_path, expected)


@pytest.mark.parametrize(
    "content", [b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": ' + b"[" * 100_000, b"9" * 5000]
)
def test_json_that_is_none_or_has_no_end_is_damaged(tmp_path: Path, content: bytes):
    (tmp_path / "some.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.json: damaged"):
        files.read_json(tmp_path / "some.json")


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "some.json")
    with pytest.raises(ValueError, match=r"some\.json: missing"):
        files.read_json(tmp_path / "some.json")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_named_and_not_written(tmp_path: Path, value: float):
    with pytest.raises(ValueError, match=r"some\.json: recall = (nan|inf) is not finite"):
        files.write_json(tmp_path / "some.json", {"memorised": 0.1, "recall": value})
    assert not (tmp_path / "some.json").exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside"])
def test_a_name_that_leads_out_is_refused_before_anything_is_read(tmp_path: Path, name: str):
    folder = tmp_path / "part"
    folder.mkdir()
    (tmp_path / "outside").touch()
    with pytest.raises(ValueError, match="not a file of"):
        files.verify(folder, {name: "0" * 64})


def test_what_the_system_says_gets_the_name_of_the_file(tmp_path: Path):
    with pytest.raises(OSError, match="No space left") as error, files.writing(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.filename == str(tmp_path / "x")
