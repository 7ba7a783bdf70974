"""The page stage gathers what the others left, and refuses what is missing."""

import contextlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from lirf import params as settings
from lirf.autoencoder import model as autoencoding
from lirf.store import banks, parts
from stages import page as stage
from stages.encode import encode
from stages.evaluate import SAMPLES_SCHEMA
from stages.page import page
from stages.support.command import Out

ROOT = Path(__file__).parents[2]
PARAMS = settings.load(ROOT / "params.yaml")
TINY = PARAMS.model_copy(
    update={
        "device": "cpu",
        "autoencoder": PARAMS.autoencoder.model_copy(
            update={"widths": (4, 4), "latent_channels": 2}
        ),
    }
)
MODELS = [*PARAMS.rounds, "final", "baseline"]
TRAIN, SAMPLES = 6, 5


@dataclass(frozen=True)
class Inputs:
    metrics: Path
    plots: Path
    samples: Path
    images: Path
    autoencoder: Path
    bank: Path


def make_inputs(results: tuple[Path, Path], folder: Path, side: int = 8) -> Inputs:
    """Make what the other stages leave: images of noise, an untrained autoencoder, rounds."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (TRAIN, 1, side, side), np.uint8)
    rows = [
        {"id": f"train-{i}", "split": "train", "flip": False, "source": f"photo <{i}>.png"}
        for i in range(TRAIN)
    ]
    inputs = Inputs(*results, *(folder / n for n in ("samples", "images", "ae", "bank")))
    parts.write(inputs.images, images, pa.Table.from_pylist(rows), {"resolution": side})
    inputs.autoencoder.mkdir()
    autoencoding.save(autoencoding.build(TINY.autoencoder, 1, side), inputs.autoencoder)
    first = folder / "r00"
    outputs = (Out(first), Out(folder / "heldout"), Out(folder / "augmented"))
    with contextlib.chdir(folder):  # where its scratch goes
        encode(TINY, inputs.images, inputs.autoencoder, *outputs)
    known = banks.read(first)
    for run, parents in (
        ("r01", ["train-0", "train-1"]),
        ("r02", ["r01-0", "train-2"]),
        ("r03", []),
    ):
        columns = {
            "id": [f"{run}-0"], "round": [run], "kind": ["refined"], "parents": [parents],
            "weights": [[0.75, 0.25]], "lambda": [0.5], "displacement": [1.0], "novelty": [2.0],
            "seed": [7],
        }  # fmt: skip
        count = 1 if parents else 0  # the last round admitted nothing
        new = banks.bank_rows(columns).slice(0, count)
        target = inputs.bank if run == "r03" else folder / run
        banks.write(target, run, known.latents[:count], new, known.space, first)
        first = target
    inputs.samples.mkdir()
    for run in MODELS:
        columns = {
            "id": [f"sample-{i}" for i in range(SAMPLES)],
            "seed": range(SAMPLES),
            "memorised": [i == 0 for i in range(SAMPLES)],
            "ratio": [0.1, *[0.9] * (SAMPLES - 1)],
            "nearest": [["train-3", "train-4"]] * SAMPLES,
            "mirrored": [[False, True]] * SAMPLES,
            "distance": [[0.1, 1.0]] * SAMPLES,
        }
        drawn = generator.integers(0, 256, (SAMPLES, 1, side, side), np.uint8)
        parts.write(inputs.samples / run, drawn, pa.table(columns, schema=SAMPLES_SCHEMA), {})
    return inputs


def make(inputs: Inputs, path: Path, params: settings.Params = TINY) -> str:
    page(params, **vars(inputs), html=Out(path))
    return path.read_text()


@pytest.fixture(scope="module")
def inputs(make_results, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("inputs")
    return make_inputs(make_results(folder), folder)


@pytest.fixture(scope="module")
def text(inputs, tmp_path_factory) -> str:
    return make(inputs, tmp_path_factory.mktemp("made") / ".index.html.partial")


def data(text: str) -> dict:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(found)


def test_the_same_inputs_give_the_same_bytes(text, inputs, tmp_path):
    assert make(inputs, tmp_path / "again.html") == text


def test_it_tells_the_numbers_of_the_metrics(text, inputs):
    found = json.loads((inputs.metrics / "final.json").read_text())
    assert f"<strong>{found['memorised']:.3f}</strong>" in text
    assert f"{round(1000 * found['memorised'])} of 1000 samples are memorised" in text
    assert "100 images of data/digits" in text
    assert "lower is better; held-out 0.012" in text
    assert "nearer to held-out 23.2 is better" in text
    assert "held-out images 23.2" in text


def test_without_a_baseline_it_shows_the_loop_alone(make_results, inputs, tmp_path):
    metrics, plots = make_results(tmp_path)
    for path in (metrics / "baseline.json", metrics / "diagnosis" / "baseline.json"):
        path.unlink()
    alone = TINY.model_copy(
        update={"models": {name: one for name, one in TINY.models.items() if name != "baseline"}}
    )
    text = make(replace(inputs, metrics=metrics, plots=plots), tmp_path / "index.html", alone)
    assert "add a line with `role: baseline` to models" in text
    assert set(data(text)["samples"]) == {*PARAMS.rounds, "final"}
    assert 'class="theirs"' not in text
    assert not [label for label in re.findall('aria-label="([^"]*)"', text) if "baseline" in label]
    assert "var(--baseline)" not in text.partition("<body>")[2]


def test_admitted_latents_lead_back_to_the_images(text):
    latents = {row["name"]: row for row in data(text)["latents"].values()}
    assert set(latents) == {"r01-0", "r02-0", *(f"photo <{i}>.png" for i in range(3))}
    shares = {
        data(text)["latents"][str(place)]["name"]: share
        for place, share in latents["r02-0"]["shares"]
    }
    assert shares == pytest.approx(
        {"photo <0>.png": 0.5625, "photo <2>.png": 0.25, "photo <1>.png": 0.1875}
    )
    assert latents["r01-0"]["picture"] != latents["photo <0>.png"]["picture"]
    assert "panel-bank-r03" not in text


def test_samples_stand_beside_training_images(text):
    found = data(text)
    assert set(found["samples"]) == set(MODELS)
    assert found["samples"]["final"][0]["nearest"] == [
        ["train-3", False, 0.1],
        ["train-4", True, 1.0],
    ]
    assert found["images"]["train-3"][1] == "photo <3>.png"
    assert "photo <" not in text


def test_pictures_shrink_until_the_page_is_small(make_results, tmp_path, monkeypatch):
    inputs = make_inputs(make_results(tmp_path), tmp_path, side=64)
    large = make(inputs, tmp_path / "large.html")
    monkeypatch.setattr(stage, "LIMIT", len(large) - 1)
    small = make(inputs, tmp_path / "small.html")
    assert len(small) < len(large)
    monkeypatch.setattr(stage, "LIMIT", 0)
    assert len(make(inputs, tmp_path / "least.html")) < len(small)


@pytest.mark.parametrize("missing", ["metrics/autoencoder.json", "plots/r01/collapse.tsv",
                                     "metrics/diagnosis/final.json"])  # fmt: skip
def test_a_missing_result_is_named(make_results, inputs, tmp_path, missing):
    metrics, plots = make_results(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=Path(missing).name):
        make(replace(inputs, metrics=metrics, plots=plots), tmp_path / "index.html")


def test_missing_samples_are_named(inputs, tmp_path):
    with pytest.raises(ValueError, match=r"samples/baseline/part\.json: missing"):
        make(replace(inputs, samples=tmp_path / "samples"), tmp_path / "index.html")


def test_it_depends_on_every_section_that_it_shows():
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    assert stages["page"]["params"] == list(stage.SECTIONS)
