"""Tensors and generators on disk: what is written is what is read, and nothing else is."""

from pathlib import Path

import pytest
import torch

from lirf.store import files, tensors


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tensors.write(tmp_path / "a.safetensors", {"x": torch.arange(6.0), "y": torch.ones(2, 2)})
    return tmp_path / "a.safetensors"


def test_tensors_are_filled_in_place(path: Path) -> None:
    into = {"x": torch.zeros(6), "y": torch.zeros(2, 2)}
    kept = into["x"]
    tensors.fill(into, path, files.sha256(path), "it")
    assert kept.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "into", [{"x": torch.zeros(6)}, {"x": torch.zeros(5), "y": torch.ones(2, 2)}]
)
def test_other_tensors_are_refused(path: Path, into: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match=r"a.safetensors: not the tensors of it; rerun"):
        tensors.fill(into, path, files.sha256(path), "it")


def test_another_checksum_and_a_cut_off_file_are_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"a.safetensors: damaged \(its checksum differs\)"):
        tensors.read(path, "0" * 64)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match=r"a.safetensors: damaged;"):
        tensors.read(path, files.sha256(path))


def test_a_generator_goes_on_from_its_text() -> None:
    generator = torch.Generator().manual_seed(3)
    torch.rand(5, generator=generator)
    text = tensors.generator_to_text(generator)
    other = torch.Generator()
    other.set_state(tensors.generator_from_text(text))
    assert torch.equal(torch.rand(4, generator=generator), torch.rand(4, generator=other))
    with pytest.raises(ValueError, match=r"^not the state of a generator$"):
        tensors.generator_from_text("no base64 ()")
