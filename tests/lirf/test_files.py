"""JSON and checksums: the same bytes for the same content, one line for what is wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lirf import files

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
