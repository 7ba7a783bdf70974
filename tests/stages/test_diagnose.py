"""The diagnosis of a model: of which latents, against which, and the same bytes again."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from lirf import params
from lirf.objectives import rectified
from lirf.store import banks
from lirf.store.space import Space
from lirf.training import checkpoint
from lirf.training import state as states
from stages.diagnose import diagnose
from stages.support.command import Out

CPU = torch.device("cpu")
SPACE = Space("f00d", (2, 2, 2), (0.0, 1.0), (1.0, 2.0))
LOADED = params.load(Path(__file__).parents[2] / "params.yaml")
REAL, REFINED = 12, 5


def numbers(**change: int) -> params.Params:
    small = {"samples": 20, "path_steps": 4, "neighbours": 2, "bins": 3, **change}
    section = LOADED.diagnose.model_copy(update=small)
    return LOADED.model_copy(update={"device": "cpu", "diagnose": section})


def latents(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *SPACE.shape), np.float32)


def write_heldout(folder: Path, count: int, space: Space = SPACE) -> Path:
    ids = pa.array([f"heldout-{i}" for i in range(count)], pa.string())
    banks.write_latents(folder, latents(count, 2), pa.table({"id": ids}), space)
    return folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return weights, a bank with mirrored and refined rows, and held-out latents."""
    folder = tmp_path_factory.mktemp("inputs")
    network = params.MLP(kind="mlp", width=16, depth=1)
    config = params.Initialize(seed=0, prediction="velocity", network=network)
    state = states.initial(config, SPACE, CPU)
    checkpoint.save(state, folder / "weights")
    fields = {
        "id": [f"row-{i}" for i in range(REAL + REFINED)],
        "kind": ["real"] * REAL + ["refined"] * REFINED,
        "source": [f"{i // 2}.png" for i in range(REAL)] + [None] * REFINED,
    }
    rows = banks.bank_rows(fields)
    banks.write(folder / "bank", "r01", latents(REAL + REFINED, 1), rows, SPACE)
    write_heldout(folder / "heldout", 9)
    return {name: folder / name for name in ("weights", "bank", "heldout")}


def run(inputs: dict[str, Path], folder: Path, config: params.Params | None = None) -> dict:
    folder.mkdir()
    names = ("metrics", "distance", "density", "picture")
    out = {name: Out(folder / f".{name}.partial") for name in names}
    diagnose(config or numbers(), "r02", **inputs, **out)
    return json.loads(out["metrics"].read_text())


def table(path: Path) -> list[dict[str, float]]:
    header, *rows = (line.split("\t") for line in path.read_text().splitlines())
    return [
        {name: float(cell or "nan") for name, cell in zip(header, row, strict=True)} for row in rows
    ]


def test_every_output_is_there_and_the_same_again(inputs: dict[str, Path], tmp_path: Path):
    run(inputs, tmp_path / "a")
    run(inputs, tmp_path / "b")
    for name in ("metrics", "distance", "density", "picture"):
        first, second = (tmp_path / x / f".{name}.partial" for x in "ab")
        assert first.read_bytes() == second.read_bytes()
    with Image.open(tmp_path / "a" / ".picture.partial") as image:
        assert image.format == "PNG"


def test_curve_and_bins(inputs: dict[str, Path], tmp_path: Path):
    found = run(inputs, tmp_path / "out")
    curve, bins = (table(tmp_path / "out" / f".{name}.partial") for name in ("distance", "density"))
    assert [row["t"] for row in curve] == [0, 0.25, 0.5, 0.75]
    mean = np.mean([row["distance"] for row in curve])
    assert found["distance_to_memorising"] == pytest.approx(mean, rel=1e-4)
    # An untrained network stands still: it is as far from the memorising field as can be.
    assert mean == pytest.approx(1, abs=0.1)
    assert sum(row["anchors"] for row in bins) == REAL
    assert sum(row["samples"] for row in bins) == 20


def test_distances_are_between_the_bank_and_held_out_latents_in_spacings(
    inputs: dict[str, Path], tmp_path: Path
):
    found = run(inputs, tmp_path / "out")
    bank, held = (x.reshape(len(x), -1) for x in (latents(REAL + REFINED, 1), latents(9, 2)))
    apart = np.linalg.norm(bank[:, None] - held, axis=2)
    real = np.linalg.norm(bank[:REAL, None] - bank[:REAL], axis=2)
    for i in range(REAL):
        real[i, i // 2 * 2 : i // 2 * 2 + 2] = np.inf  # the image itself and its twin
    spacing = np.median(real.min(axis=1))
    expected = {
        "bank_to_reference": apart.min(axis=1).max() / spacing,
        "bank_to_reference_mean": apart.min(axis=1).mean() / spacing,
        "reference_to_bank": apart.min(axis=0).max() / spacing,
        "reference_to_bank_mean": apart.min(axis=0).mean() / spacing,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-4)
    assert found["reference_latents"] == "heldout"
    assert found["n_reference_latents"] == 9


def test_without_held_out_latents_the_reference_is_the_real_ones(
    inputs: dict[str, Path], tmp_path: Path
):
    found = run({**inputs, "heldout": write_heldout(tmp_path / "none", 0)}, tmp_path / "out")
    assert found["reference_latents"] == "train"
    assert found["n_reference_latents"] == REAL
    assert found["reference_to_bank"] == 0
    assert found["bank_to_reference"] > 0


def test_a_model_that_draws_its_bank_is_collapsed(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Held against the memorising field of the real rows itself: every number at its end."""

    def memorising(_folder: Path, _where: torch.device):
        anchors = torch.from_numpy(latents(REAL + REFINED, 1)[:REAL])
        return lambda x, t: rectified.closed_form(x, t, anchors), SPACE

    monkeypatch.setattr(checkpoint, "load_field", memorising)
    found = run(inputs, tmp_path / "out", numbers(path_steps=20))
    assert found["distance_to_memorising"] == 0
    assert found["memorised_latents"] == 1
    assert found["collapse_real"] == found["collapse_bank"] == 1


@pytest.mark.parametrize("name", ["bank", "heldout"])
def test_latents_of_another_space_are_refused(inputs: dict[str, Path], tmp_path: Path, name: str):
    space = Space("beef", SPACE.shape, SPACE.mean, SPACE.std)
    if name == "bank":
        rows = banks.bank_rows({"id": ["a"], "kind": ["real"]})
        banks.write(tmp_path / name, "r00", latents(1, 0), rows, space)
    else:
        write_heldout(tmp_path / name, 3, space)
    with pytest.raises(ValueError, match=f"{name}: latents of another space: autoencoder is beef"):
        run({**inputs, name: tmp_path / name}, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"bins": 13}, "diagnose r02: 13 bins for 12 anchors"),
     ({"neighbours": 11}, "diagnose r02: 11 neighbours are asked for, but only 10")],
)  # fmt: skip
def test_numbers_too_large_for_the_images_are_named(
    inputs: dict[str, Path], tmp_path: Path, change: dict[str, int], message: str
):
    with pytest.raises(ValueError, match=message):
        run(inputs, tmp_path / "out", numbers(**change))
