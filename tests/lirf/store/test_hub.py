"""The hub's files: from the cache, and by no other way unless that is asked for."""

import socket
from pathlib import Path

import pytest

from lirf.store import hub


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache that has `one.txt` and `two.txt` of `someone/something`; no network."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    top = tmp_path / "cache" / "models--someone--something"
    (top / "refs").mkdir(parents=True)
    (top / "refs" / "main").write_text(commit)
    folder = top / "snapshots" / commit
    folder.mkdir(parents=True)
    for name in ("one.txt", "two.txt"):
        (folder / name).write_text(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    def refuse(*arguments: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return folder


def test_what_is_in_the_cache_is_found_without_the_network(cached: Path) -> None:
    folder = hub.snapshot("someone/something", ["one.txt"], download=False)
    assert (folder / "one.txt").read_text() == "one.txt"


def test_what_is_not_in_the_cache_is_said_without_the_network(cached: Path) -> None:
    with pytest.raises(ValueError, match=r"^someone/else: not in the hub's cache$"):
        hub.snapshot("someone/else", ["one.txt"], download=False)


@pytest.mark.parametrize("name", ["nothing", "/some/folder", "../up/there", "a/b/c", ""])
def test_a_path_is_no_identifier(name: str) -> None:
    with pytest.raises(ValueError, match=r"neither there nor an id of a hub, owner/name"):
        hub.snapshot(name, ["one.txt"], download=True)
