"""The report gathers what `params.yaml` lists, and refuses what cannot be compared."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lirf import params as settings
from lirf.report import pictures
from stages.report import report
from stages.support.command import Out

ROOT = Path(__file__).parents[2]
PARAMS = settings.load(ROOT / "params.yaml")
LOOP = [*PARAMS.rounds, "final"]
MODELS = [*LOOP, "baseline"]


def make(
    inputs: tuple[Path, Path], folder: Path, params: settings.Params = PARAMS
) -> dict[str, Out]:
    folder.mkdir()
    names = ("rounds", "curves", "losses", "samples", "collapse", "table")
    out = {name: Out(folder / f".{name}.partial") for name in names}
    report(params, *inputs, **out)
    return out


def write(path: Path, document: dict) -> None:
    path.write_text(json.dumps(document))


@pytest.fixture
def inputs(make_results, tmp_path: Path) -> tuple[Path, Path]:
    return make_results(tmp_path)


@pytest.fixture(scope="module")
def made(make_results, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Out]:
    """Return what the report writes from undisturbed inputs."""
    folder = tmp_path_factory.mktemp("made")
    return make(make_results(folder), folder / "out")


def test_rounds_have_a_row_each_and_the_bank_grows_by_what_was_admitted(made):
    lines = made["rounds"].read_text().splitlines()
    header, *rows = (line.split("\t") for line in lines)
    table = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert header[0] == "round"
    assert list(table) == MODELS
    # A model's bank is the one it was trained on: r01's admissions are in that of r02.
    assert {run: row["bank_rows"] for run, row in table.items()} == {
        "r01": "190", "r02": "290", "r03": "490", "final": "790", "baseline": "190",
    }  # fmt: skip
    assert table["r02"]["admitted"] == "200"
    assert table["final"]["admitted"] == ""
    assert float(table["baseline"]["memorised"]) == pytest.approx(0.4)


def test_the_table_starts_with_the_baseline_and_ends_with_the_protocol(made):
    text = made["table"].read_text()
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert rows == ["", "baseline", *LOOP, "held-out images"]
    head, controls = (
        next(row for row in text.splitlines() if start in row)
        for start in ("memorised ↓", "held-out images |")
    )
    cells = dict(
        zip(*([c.strip() for c in row.split("|")] for row in (head, controls)), strict=True)
    )
    assert (cells["memorised ↓"], cells["sharpness → held-out"], cells["recall ↑"]) == (
        "0.012",
        "23.2",
        "–",
    )
    assert "in pixels ↓" not in cells
    assert "1000 samples" in text.splitlines()[-1]


def test_results_of_dropped_rounds_are_not_read(made, inputs, tmp_path):
    write(inputs[0] / "r09.json", {"nonsense": True})
    (inputs[1] / "r09").mkdir()
    found = make(inputs, tmp_path / "out")
    for name, path in made.items():
        assert path.read_bytes() == found[name].read_bytes(), name


def test_samples_stand_side_by_side(made):
    with Image.open(made["samples"]) as image:
        pixels = np.asarray(image)[..., 0]
    left, right = np.array_split(pixels, 2, axis=1)
    middle = pictures.GAP + 20
    assert left[middle, middle] == 40 * MODELS.index("baseline")
    assert right[middle, middle] == 40 * MODELS.index("final")


def test_losses_of_fresh_starts_follow_one_another_like_those_of_warm_ones(inputs, tmp_path):
    drawn = []
    for fresh in (False, True):
        end = 0
        for run in LOOP:
            steps = np.linspace(10, PARAMS.models[run].steps, 40).round() + (0 if fresh else end)
            end += PARAMS.models[run].steps
            lines = [f"{step:.0f}\t{1 / (i + 1)}" for i, step in enumerate(steps)]
            (inputs[1] / run / "loss.tsv").write_text("\n".join(["step\tloss", *lines, ""]))
        started = PARAMS.train.model_copy(update={"start": "fresh" if fresh else "warm"})
        params = PARAMS.model_copy(update={"train": started})
        drawn.append(make(inputs, tmp_path / str(fresh), params)["losses"].read_bytes())
    assert drawn[0] == drawn[1]


def test_a_report_without_a_network_says_so(inputs, tmp_path):
    for run in MODELS:
        document = json.loads((inputs[0] / f"{run}.json").read_text())
        change = {"generator": "memory", "solver": None, "solver_steps": None, "train_steps": None}
        write(inputs[0] / f"{run}.json", {**document, **change})
    made = make(inputs, tmp_path / "out")
    assert "no network" in made["table"].read_text()
    header, *rows = (line.split("\t") for line in made["rounds"].read_text().splitlines())
    assert {row[header.index("train_steps")] for row in rows} == {""}


@pytest.mark.parametrize("name", ["curves", "losses", "samples", "collapse"])
def test_pictures_are_pngs(made, name):
    with Image.open(made[name]) as image:
        assert image.format == "PNG"


def test_results_of_different_protocols_are_refused(inputs, tmp_path):
    path = inputs[0] / "r02.json"
    write(path, {**json.loads(path.read_text()), "n_fake": 999})
    with pytest.raises(ValueError, match=r"r02\.json: n_fake is 999, but 1000 in final\.json"):
        make(inputs, tmp_path / "out")


def test_a_model_that_stopped_before_its_first_step_has_no_loss_to_draw(made, inputs, tmp_path):
    (inputs[1] / "r02" / "loss.tsv").write_text("step\tloss\n")
    found = make(inputs, tmp_path / "out")
    assert found["losses"].read_bytes() != made["losses"].read_bytes()


@pytest.mark.parametrize("missing", ["metrics/r02.json", "metrics/diagnosis/r03.json",
                                     "metrics/admission/r03.json",
                                     "metrics/prepare.json", "plots/r01/loss.tsv"])  # fmt: skip
def test_a_missing_result_is_named(inputs, tmp_path, missing):
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=Path(missing).name):
        make(inputs, tmp_path / "out")
