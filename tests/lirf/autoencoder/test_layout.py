"""A saved autoencoder on disk: what its fingerprint is over, and what of it is refused."""

from pathlib import Path

import pytest

from lirf.autoencoder import layout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (layout.CONFIG, layout.WEIGHTS):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize("frame", [{}, {"channels": 1, "enlarge": 2}])
def test_what_was_sealed_is_what_is_checked(folder: Path, frame: dict[str, int]):
    sealed = layout.seal(folder, frame)
    assert layout.check(folder) == (sealed, frame)


def test_the_frame_and_every_file_count(folder: Path):
    found = {layout.seal(folder, {}), layout.seal(folder, {"channels": 1, "enlarge": 2})}
    for name in (layout.CONFIG, layout.WEIGHTS):
        (folder / name).write_text("other")
        with pytest.raises(ValueError, match=r"fingerprint \w{12} is not \w{12} of"):
            layout.check(folder)
        found.add(layout.seal(folder, {}))
    assert len(found) == 4


@pytest.mark.parametrize("name", [layout.CONFIG, layout.WEIGHTS, layout.FINGERPRINT])
def test_a_missing_file_is_named(folder: Path, name: str):
    layout.seal(folder, {})
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name}: missing; `dvc repro autoencoder` writes it"):
        layout.check(folder)
