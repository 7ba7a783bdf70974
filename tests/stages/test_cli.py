"""The commands for people who only want images: what they write, and what they refuse."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lirf.autoencoder import model as ae
from lirf.publish import export
from lirf.report import tables
from lirf.sampling import sampler
from lirf.training import checkpoint
from stages import cli

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "numpy", "diffusers", "pydantic", "PIL", "huggingface_hub", "tqdm"}


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "model"
    export.write(folder, trained.weights, trained.autoencoder, trained.params.sample)
    prepare = trained.params.prepare.model_dump()
    export.seal(folder, {"name": "tiny", "params": {"prepare": prepare}})
    return folder


def run(command: str, **options: object) -> None:
    """Run a command; an option of None is one without a value."""
    pairs = ((f"--{key}", *([] if v is None else [str(v)])) for key, v in options.items())
    cli.main([command, *(word for pair in pairs for word in pair)])


def refused(capsys: pytest.CaptureFixture[str], command: str, **options: object) -> tuple[str, int]:
    """Return the one line and the exit status of a command that is refused."""
    with pytest.raises(SystemExit) as stopped:
        run(command, **options)
    code = stopped.value.code
    # A message as the code is what the interpreter prints before it ends with 1.
    line, status = (f"{code}\n", 1) if isinstance(code, str) else (capsys.readouterr().err, code)
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert isinstance(status, int)
    return line, status


def read(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def test_images_are_those_of_the_workflow_with_their_seeds(trained, model: Path, tmp_path: Path):
    run("sample", model=model, count=5, seed=3, out=tmp_path / "new" / "out")
    seeds = sampler.seeds(3, "sample", 5)
    cpu = torch.device("cpu")
    field, space = checkpoint.load_field(trained.weights, cpu)
    z = torch.cat(list(sampler.sample(field, seeds, space.shape, trained.params.sample, cpu)))
    decoder = ae.load(trained.autoencoder, cpu)
    expected = ae.decode(decoder, z.numpy(), space, 64, cpu)[:, 0]
    np.testing.assert_array_equal(read(tmp_path / "new" / "out"), expected)
    rows = [f"{index:05d}.png\t{seed}" for index, seed in enumerate(seeds)]
    table = (tmp_path / "new" / "out" / "seeds.tsv").read_text()
    assert table.splitlines() == ["file\tseed", *rows]
    assert len(list((tmp_path / "new").rglob("*"))) == 7  # the folder, five images, their seeds


def test_a_name_that_ends_in_png_is_one_picture_of_all(model: Path, tmp_path: Path, capsys):
    out = tmp_path / "new" / "all.PNG"
    run("sample", model=model, count=5, out=out)
    with Image.open(out) as grid:
        assert grid.size == (3 * 51 + 3, 2 * 51 + 3)
    assert [path.name for path in out.parent.iterdir()] == ["all.PNG"]
    before = out.read_bytes()
    line, _ = refused(capsys, "sample", model=model, count=5, out=out)
    assert "all.PNG: is there; name another file or add --overwrite" in line
    assert out.read_bytes() == before
    run("sample", model=model, count=2, seed=1, out=out, overwrite=None)
    assert out.read_bytes() != before
    line, _ = refused(capsys, "sample", model=model, count=1001, out=tmp_path / "b.png")
    assert "--count 1001: one picture shows at most 1000; name a folder in --out" in line


def test_another_solver_or_number_of_steps_is_another_image(model: Path, tmp_path: Path):
    options = {"a": {}, "b": {"steps": 9}, "c": {"solver": "euler"}, "d": {"seed": 1}}
    for name, more in options.items():
        run("sample", model=model, count=2, out=tmp_path / name, **more)
    drawn = np.stack([read(tmp_path / name) for name in options])
    assert len(np.unique(drawn, axis=0)) == len(options)


def test_a_smaller_set_leaves_nothing_of_a_larger_one(model: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    run("sample", model=model, count=7, out=out)
    (out / ".00003.png.partial").write_text("of a killed run")
    before = sorted(out.iterdir())
    line, status = refused(capsys, "sample", model=model, count=3, out=out)
    assert "out: not empty; name another folder or add --overwrite" in line
    assert status == 1
    assert sorted(out.iterdir()) == before
    run("sample", model=model, count=3, seed=1, out=out, overwrite=None)
    names = [f"0000{index}.png" for index in range(3)]
    assert sorted(path.name for path in out.iterdir()) == [*names, "seeds.tsv"]
    assert len((out / "seeds.tsv").read_text().splitlines()) == 4


@pytest.mark.parametrize("name", ["holiday.jpg", "00007.png", "00001.png/mine", ".hidden"])
def test_files_that_are_not_of_a_set_are_never_deleted(
    model: Path, tmp_path: Path, capsys, name: str
):
    out = tmp_path / "out"
    run("sample", model=model, count=3, out=out)
    if "/" in name:
        (out / "00001.png").unlink()
        (out / "00001.png").mkdir()
    (out / name).write_text("mine")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    line, status = refused(capsys, "sample", model=model, count=1, out=out, overwrite=None)
    assert (
        f"out: {name.split('/', maxsplit=1)[0]!r} is not of a set that was drawn here (1 such"
        in line
    )
    assert "nothing was deleted" in line
    assert status == 1
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "table",
    ["", "my own notes\n", "file\tseed\n../00000.png\t1\n", "file\tseed\nmine.png\t1\n", b"\xff"],
)
def test_a_table_that_is_not_ours_names_no_files(
    model: Path, tmp_path: Path, capsys, table: str | bytes
):
    out = tmp_path / "out"
    out.mkdir()
    (out / "seeds.tsv").write_bytes(table if isinstance(table, bytes) else table.encode())
    for name in ("00000.png", "out/00000.png", "out/mine.png"):
        (tmp_path / name).write_text("mine")
    refused(capsys, "sample", model=model, count=1, out=out, overwrite=None)
    assert {path.read_text() for path in tmp_path.rglob("*.png")} == {"mine"}
    assert len(list(tmp_path.rglob("*.png"))) == 3


def test_a_model_that_is_refused_leaves_the_earlier_set(model: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    run("sample", model=model, count=2, out=out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    refused(capsys, "sample", model=tmp_path, count=1, out=out, overwrite=None)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "argument --count: 0: must be from 1 to 100000;"),
        ({"count": 10**9}, "argument --count: 1000000000: must be from 1 to 100000;"),
        ({"count": "many"}, "argument --count: 'many' is not a whole number;"),
        ({"seed": -1}, "argument --seed: -1: must be from 0 to"),
        ({"seed": 2**63}, "argument --seed: 9223372036854775808: must be from 0 to"),
        ({"solver": "rk9"}, "argument --solver: invalid choice: 'rk9'"),
        ({"steps": 0}, "argument --steps: 0: must be from 1 to"),
        ({"device": "tpu"}, "argument --device: invalid choice: 'tpu'"),
    ],
)
def test_an_option_out_of_range_is_one_line(
    model: Path, tmp_path: Path, capsys, options: dict[str, object], message: str
):
    line, status = refused(capsys, "sample", model=model, out=tmp_path / "out", **options)
    assert message in line
    assert status == 2
    assert not (tmp_path / "out").exists()


def test_a_command_or_option_that_is_missing_is_one_line(capsys):
    for arguments in ([], ["sample"], ["draw"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        assert stopped.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_dopri5_takes_no_number_of_steps(model: Path, tmp_path: Path, capsys):
    options = {"model": model, "out": tmp_path / "out", "solver": "dopri5", "steps": 3}
    line, status = refused(capsys, "sample", **options)
    assert "--steps 3: dopri5 chooses its own" in line
    assert status == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_model_and_one_of_another_version(model: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    for folder in (tmp_path / "nowhere", tmp_path):
        line, status = refused(capsys, "sample", model=folder, out=out)
        assert f"{folder}: there is no published model in it" in line
        assert status == 1
    shutil.copytree(model, tmp_path / "model")
    provenance = tmp_path / "model" / "provenance.json"
    provenance.write_text(json.dumps({**json.loads(provenance.read_text()), "format": 7}))
    line, status = refused(capsys, "sample", model=tmp_path / "model", out=out)
    assert "a model of format 7, this version reads 1" in line
    assert status == 1
    assert not out.exists()


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_written_is_one_line(
    model: Path, tmp_path: Path, capsys, place: str
):
    (tmp_path / "file").write_text("mine")
    line, status = refused(capsys, "sample", model=model, count=1, out=tmp_path / place)
    assert "name" in line
    assert "--out" in line
    assert status == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_interrupt_leaves_whole_files(model: Path, tmp_path: Path):
    out = tmp_path / "out"
    # Where the tests run in a shell's background, SIGINT is ignored, and so by their children.
    ready = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.cli", "sample", "--model", model, "--out", out,
         "--count", "100000", "--batch", "2", "--device", "cpu"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True,
        preexec_fn=ready,  # noqa: PLW1509 - no other thread is at work
    )  # fmt: skip
    while len(list(out.glob("*.png"))) < 5 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert said == "interrupted: what is written is whole\n"
    assert process.returncode == cli.INTERRUPTED
    assert read(out).shape[1:] == (8, 8)
    assert len((out / "seeds.tsv").read_text().splitlines()) == 100_001
    assert not [path for path in out.iterdir() if path.suffix not in {".png", ".tsv"}]


def test_nearest_finds_copies_and_frames_them(trained, model: Path, tmp_path: Path, capsys):
    (tmp_path / "images").mkdir()
    for name in ("00.png", "05.png"):
        shutil.copy(trained.photos / name, tmp_path / "images")
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(tmp_path / "images" / "new.png")
    out = tmp_path / "deep" / "nearest.png"
    run("nearest", model=model, images=tmp_path / "images", training=trained.photos, out=out)
    assert capsys.readouterr().out == "2 of 3 images are memorised\n"
    with Image.open(out) as picture:
        pixels = np.asarray(picture)
    vermilion = (pixels == (213, 94, 0)).all(axis=2)
    assert vermilion.sum() > 2 * 2 * 4 * 48 * 3 * 0.9  # two frames in each of two rows
    assert [path.name for path in out.parent.iterdir()] == ["nearest.png"]
    run(
        "nearest", model=model, images=tmp_path / "images", training=trained.photos, out=out,
        first=1,
    )  # fmt: skip
    assert capsys.readouterr().out == "2 of 3 images are memorised\n"


@pytest.fixture
def near(trained, tmp_path: Path) -> Path:
    """Return a folder of three images: far, equal to and near to training ones, in that order."""
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(folder / "a&b.png")
    shutil.copy(trained.photos / "05.png", folder / "copy.png")
    pixels = np.asarray(Image.open(trained.photos / "07.png").convert("L")).astype(int)
    Image.fromarray((pixels + 3).clip(0, 255).astype(np.uint8)).save(folder / "near.png")
    return folder


def test_a_table_has_file_names_nearest_first(trained, model: Path, near: Path, tmp_path: Path):
    out = tmp_path / "nearest.tsv"
    run("nearest", model=model, images=near, training=trained.photos, out=out)
    rows = tables.parse(out.read_text())
    assert [row["file"] for row in rows] == ["copy.png", "near.png", "a&b.png"]
    assert [row["nearest1"] for row in rows][:2] == ["05.png", "07.png"]
    assert [row["memorised"] for row in rows] == [True, True, False]
    assert rows[0]["distance1"] == 0
    for row in rows:
        assert row["distance1"] <= row["distance2"] <= row["distance3"] <= row["distance4"]
        assert isinstance(row["mirrored4"], bool)
    run("nearest", model=model, images=near, training=trained.photos, out=out, first=1)
    assert [row["file"] for row in tables.parse(out.read_text())] == ["copy.png"]


def test_a_jpeg_beside_every_training_image_hides_no_memorised_one(
    trained, model: Path, near: Path, tmp_path: Path, capsys
):
    twice = tmp_path / "twice"
    shutil.copytree(trained.photos, twice)
    for path in sorted(twice.glob("*.png")):
        with Image.open(path) as image:
            image.convert("RGB").save(path.with_suffix(".jpg"), quality=95)
    out = tmp_path / "nearest.tsv"
    for training in (trained.photos, twice):
        run("nearest", model=model, images=near, training=training, out=out)
        assert capsys.readouterr().out == "2 of 3 images are memorised\n"
    rows = tables.parse(out.read_text())
    assert [Path(rows[0][f"nearest{place}"]).stem for place in (1, 2)] == ["05", "05"]


def test_a_page_shows_the_same_and_asks_no_network(
    trained, model: Path, near: Path, tmp_path: Path
):
    out = tmp_path / "nearest.html"
    run("nearest", model=model, images=near, training=trained.photos, out=out)
    page = out.read_text()
    places = [page.index(name) for name in ("copy.png", "near.png", "a&amp;b.png")]
    assert places == sorted(places)
    assert page.count("<img") == 3 * 5
    assert page.count('src="data:image/png;base64,') == 3 * 5
    assert page.count('class="memorised"') == 2 * 2
    assert "http" not in page


def test_the_picture_is_sorted_too(trained, model: Path, near: Path, tmp_path: Path):
    out = tmp_path / "nearest.png"
    run("nearest", model=model, images=near, training=trained.photos, out=out)
    with Image.open(out) as picture:
        framed_H = (np.asarray(picture) == (213, 94, 0)).all(axis=2).any(axis=1)
    assert framed_H[: len(framed_H) // 2].any()
    assert not framed_H[-len(framed_H) // 4 :].any()


def test_nearest_refuses_what_is_no_folder_of_images(trained, model: Path, tmp_path: Path, capsys):
    options = {"model": model, "images": trained.photos, "training": trained.photos}
    (tmp_path / "empty").mkdir()
    cases = [
        ({"images": tmp_path / "none", "out": "a.png"}, "none: no such folder; --images is"),
        ({"training": tmp_path / "none", "out": "a.png"}, "none: no such folder; --training is"),
        ({"training": tmp_path / "empty", "out": "a.png"}, "empty: no images"),
        ({"out": "a.jpg"}, "a.jpg: not known by its ending; name a file that ends in .png, .html,"),
    ]
    for changes, message in cases:
        out = tmp_path / str(changes["out"])
        line, status = refused(capsys, "nearest", **{**options, **changes, "out": out})
        assert message in line
        assert status == 1
        assert not out.exists()


@pytest.mark.parametrize(
    ("token", "repo", "message"),
    [
        (None, "me/tiny", "no token of the Hugging Face hub; set HF_TOKEN or run `hf auth login`"),
        ("hf_none", "no/such/name", "Repo id must be"),
        ("hf_none", "me/tiny", "me/tiny: not pushed to http://127.0.0.1:9: "),
    ],
)
def test_a_push_that_fails_is_one_line(
    model: Path, tmp_path: Path, token: str | None, repo: str, message: str
):
    # Nothing answers on the discard port: no test talks to a hub.
    own = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "stages.cli", "push", "--model", model, "--repo", repo],
        cwd=tmp_path,
        env=own | ({} if token is None else {"HF_TOKEN": token}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_too_little_memory_names_the_batch(
    model: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(sampler, "integrate", full)
    line, _ = refused(capsys, "sample", model=model, out=tmp_path / "out")
    assert line == "error: out of memory; lower --batch\n"


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"lirf {metadata.version('lirf')}\n"


def test_drawing_loads_torch_and_little_else(model: Path, tmp_path: Path):
    program = (
        "import sys; from stages import cli; cli.main(sys.argv[1:]); print(*sys.modules, sep='\\n')"
    )
    arguments = ["sample", "--model", model, "--count", "2", "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stdout.split())
    assert {"torch", "numpy", "PIL"} <= loaded
    slow = {"diffusers", "pydantic", "scipy", "torch._dynamo", "torchvision", "transformers"}
    assert not slow & loaded


def test_help_loads_nothing_heavy():
    program = "import sys\nfrom stages import cli\ncli._parser()\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())
    assert "stages.cli" in done.stdout.split()
