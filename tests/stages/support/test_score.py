"""`lirf score`: images of any origin, judged as the workflow judges its own."""

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lirf.measure import table
from stages import cli

CROPPED = "warning: samples of 20x16 px: the centre square, at 16 px, is judged\n"


def photographs(folder: Path, seed: int, count: int = 12, side: int = 16) -> Path:
    """Write smooth random colour images, each a little larger than it is judged at."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for place in range(count):
        coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((side + 4, side), Image.Resampling.BICUBIC)
        image.save(folder / f"{place:02d}.png")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    photographs(tmp_path / "training", 0)
    photographs(tmp_path / "unseen", 1)
    photographs(tmp_path / "made", 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seen(page: Path) -> str:
    return html.unescape(
        re.sub(
            r"<script.*?</script>|<style.*?</style>|<[^>]*>", " ", page.read_text(), flags=re.DOTALL
        )
    )


def judged(*more: str, samples: str = "made") -> dict[str, object]:
    named = ["--samples", samples, "--training", "training", "--heldout", "unseen"]
    cli.main(["score", *named, "--out", "scores.json", "--overwrite", *more])
    return json.loads(Path("scores.json").read_text())


def test_it_prints_the_numbers_beside_those_of_held_out_images(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    found = judged()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "12 samples, 12 training images, 12 held-out ones, at 16 px in rgb; features: pixels, K = 5"
    )
    heads = [re.split(r"  +", line)[0] for line in lines[2:-4]]
    known = [metric.head for metric in table.MEASURED if found.get(metric.key) is not None]
    assert heads == known
    assert lines[-3].startswith("New: 0 of 12 samples are memorised")
    assert re.match(r"(Good|Good in part|Poor): \d", lines[-2])
    shares = [f"{100 * float(str(found[key])):.0f} %" for key in ("precision", "coverage")]
    assert f"{shares[0]} of the samples look like held-out images (precision;" in lines[-2]
    assert f"{shares[1]} of the held-out images have a sample near them (coverage;" in lines[-2]
    assert lines[-1].startswith("New images, not memorised ones")
    assert found["sharpness_heldout"] is not None
    assert found["frechet"] is None
    assert f"no Frechet distance: {found['frechet_reason']}" in lines


def test_copies_are_memorised_and_named(here: Path, capsys: pytest.CaptureFixture[str]):
    shutil.copytree("training", "copies")
    assert judged(samples="copies")["memorised"] == 1.0
    said = capsys.readouterr()
    assert "Memorised: 12 of 12" in said.out
    assert said.err == CROPPED + (
        "warning: 12 sample files are training images as well: 00.png is 00.png\n"
    )


def test_mirrored_copies_are_memorised(here: Path):
    (here / "mirrored").mkdir()
    for path in sorted((here / "training").iterdir()):
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
            here / "mirrored" / path.name
        )
    assert judged(samples="mirrored")["memorised"] == 1.0


def test_held_out_images_in_the_samples_place_score_what_stands_beside(here: Path):
    found = judged(samples="unseen")
    assert found["memorised"] == found["memorised_heldout"]
    assert found["sharpness"] == found["sharpness_heldout"]
    assert (found["precision"], found["recall"], found["coverage"]) == (1.0, 1.0, 1.0)


def test_the_order_of_files_changes_nothing(here: Path):
    before = judged()
    for place, path in enumerate(sorted((here / "made").iterdir(), reverse=True)):
        path.rename(here / "made" / f"other{place:02d}.png")
    after = judged()
    assert after.keys() == before.keys()
    for key, value in before.items():
        assert after[key] == (pytest.approx(value, abs=2e-6) if isinstance(value, float) else value)


def test_grey_images_are_judged_in_grey(here: Path):
    for name in ("made", "training", "unseen"):
        for path in (here / name).iterdir():
            Image.open(path).convert("L").save(path)
    assert judged()["colour"] == "grey"


def test_samples_of_32_px_are_seen_by_a_network(here: Path):
    for name, seed in (("made", 2), ("training", 0), ("unseen", 1)):
        shutil.rmtree(here / name)
        photographs(here / name, seed, side=32)
    found = judged()
    assert (found["features"], found["resolution"]) == ("imagenet (EfficientNet-Lite0, 128 px)", 32)
    assert found["memorised_pixels"] == 0.0
    assert judged("--features", "pixels")["features"] == "pixels"


def test_held_out_folders_among_the_training_images_are_not_trained_on(here: Path):
    shutil.copytree("unseen", "training/heldout")
    assert judged()["n_train"] == 12


def test_the_page_says_what_the_terminal_says(here: Path, capsys: pytest.CaptureFixture[str]):
    shutil.copy("training/03.png", "made/a&b.png")
    judged("--out", "page.html")
    verdict = capsys.readouterr().out.splitlines()[-1]
    page = here / "page.html"
    text = seen(page)
    assert verdict in text
    assert "13 images of made" in text
    assert "1 of these 13 samples is memorised." in text
    assert "baseline" not in text
    assert text.count("autoencoder") == 1  # there is none
    nearest = text.partition("The samples nearest to training images")[2]
    assert re.search(r"a&b\.png\s+memorised", nearest)
    assert nearest.index("a&b.png") < nearest.index("00.png")
    assert "://" not in page.read_text()
    assert not list(here.glob(".*"))


def test_the_page_says_the_same_again(here: Path):
    judged("--out", "a.html")
    judged("--out", "b.html")
    assert Path("a.html").read_bytes() == Path("b.html").read_bytes()


def test_samples_of_other_shapes_are_told_of(here: Path, capsys: pytest.CaptureFixture[str]):
    judged()
    assert capsys.readouterr().err == CROPPED
    for place, path in enumerate(sorted((here / "made").iterdir())):
        Image.open(path).resize((16 + place % 2, 16 + place % 2)).save(path)
    assert judged()["resolution"] == 16
    assert capsys.readouterr().err == (
        "warning: samples of 2 sizes (16x16, 17x17): the centre square of each, at 16 px,"
        " is judged\n"
    )


def test_real_images_are_the_standard(here: Path):
    found = judged(samples="unseen")
    assert found["coverage_expected"] == pytest.approx(
        1 - np.prod([(12 - i) / (24 - i) for i in range(1, 6)])
    )
    shutil.copytree("training", "copies")
    copied = judged(samples="copies")
    assert copied["precision"] == copied["precision_training"] == found["precision_training"]


def complaint(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["score", *arguments])
    message = str(ended.value.code) if isinstance(ended.value.code, str) else ""
    return message or capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--samples": "none"}, r"^error: none: no such folder; --samples is a folder of images$"),
        ({"--training": "none"}, r"^error: none: no such folder; --training is a folder of"),
        ({"--heldout": "empty"}, r"^error: empty: no images .*; --heldout is one that has some$"),
        ({"--samples": "training"}, r"--samples training: the folder of --training; name another"),
        ({"--samples": "./made/../training/"}, r"the folder of --training; name another$"),
        ({"--heldout": "training"}, r"--heldout training: the folder of --training; name another"),
        ({"--neighbours": "12"}, r"--samples: 12 images, --neighbours 12 needs at least 13; add"),
        (
            {"--resolution": "20"},
            r"^error: made/00.png: 20x16 px, but the short side of --samples must have 20, as"
            r" --resolution 20 asks; name a smaller --resolution$",
        ),
        (
            {"--training": "small"},
            r"^error: small/00.png: 16x12 px, but the short side of --training must have 16, that"
            r" of the samples; name a smaller --resolution$",
        ),
        ({"--samples": "broken"}, r"^error: broken/99.png: .*; fix or remove the file$"),
        ({"--out": "scores.txt"}, r"^error: scores.txt: not known by its ending; name a file that"),
        ({"--samples": "tiny"}, r"^error: tiny: a side of 5 px; at least 8 are needed$"),
        ({"--training": "one"}, r"^error: 1 different training images: at least 2 are needed$"),
        ({"--out": "empty"}, r"^error: empty: a folder; name a file with --out$"),
        (
            {"--out": "there.json"},
            r"^error: there.json: is there; name another file or add --overw",
        ),
    ],
)
def test_a_mistake_is_one_line(
    here: Path, changes: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
):
    (here / "empty").mkdir()
    photographs(here / "small", 3, side=12)
    photographs(here / "tiny", 5, side=5)
    (here / "one").mkdir()
    for place in range(8):
        shutil.copy("training/00.png", f"one/{place}.png")
    (photographs(here / "broken", 4) / "99.png").write_bytes(b"no image")
    (here / "there.json").write_text("{}")
    options = {"--samples": "made", "--training": "training", "--heldout": "unseen"} | changes
    said = complaint(*(word for pair in options.items() for word in pair), capsys=capsys)
    assert re.search(message, said), said
    assert "\n" not in said
    assert "prepare." not in said
    assert (here / "there.json").read_text() == "{}"


def test_held_out_images_must_be_named(here: Path, capsys: pytest.CaptureFixture[str]):
    said = complaint("--samples", "made", "--training", "training", capsys=capsys)
    assert re.search(r"^error: --heldout: not given, .* mislead: .*; name a folder of", said), said
    assert "\n" not in said


def test_held_out_files_that_were_trained_on_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copy(here / "training" / "03.png", here / "unseen" / "leak.png")
    judged()
    assert capsys.readouterr().err == CROPPED + (
        "warning: 1 held-out files are training images as well: leak.png is 03.png\n"
    )


def test_help_says_which_copies_are_found(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["score", "--help"])
    assert "as they are or mirrored" in " ".join(capsys.readouterr().out.split())


def test_as_a_process(here: Path):
    named = ["--samples", "made", "--training", "training", "--heldout", "unseen"]
    done = subprocess.run(
        [sys.executable, "-m", "stages.cli", "score", *named],
        cwd=here,
        env={"PYTHONPATH": str(Path(cli.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1].startswith("New images")
    assert done.stderr == CROPPED
