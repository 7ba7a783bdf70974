"""Hashes are those that DVC has of the same files and folders."""

from pathlib import Path

import pytest
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from stages.support.hashes import FOLDER, contents, md5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "d41d8cd98f00b204e9800998ecf8427e"),  # of RFC 1321, as the next
        (b"message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        (b"a\r\n" * 10**6, None),
    ],
)
def test_of_a_file(tmp_path: Path, text: bytes, expected: str | None):
    file = tmp_path / "file"
    file.write_bytes(text)
    assert len(md5(file)) == 32
    assert expected in {None, md5(file)}
    assert contents(file) == {md5(file): file}


@pytest.mark.parametrize("names", [[], ["a"], ["b/c/d", "a", "b.x", "b/c.y", "é", "B", "same"]])
def test_of_a_folder(tmp_path: Path, names: list[str]):
    (tmp_path / "empty").mkdir()  # DVC does not know of folders without files
    tree = Tree()
    for name in names:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a" if name == "same" else name)
        tree.add(tuple(name.split("/")), None, HashInfo("md5", md5(file)))
    tree.digest()
    kept = contents(tmp_path)
    assert tree.hash_info
    *files, whole = kept
    assert whole == tree.hash_info.value
    assert whole.endswith(FOLDER)
    assert kept[whole] == tree.as_bytes()
    assert set(files) == {md5(tmp_path / name) for name in names}
    for of_file in files:
        file = kept[of_file]
        assert isinstance(file, Path)
        assert md5(file) == of_file
