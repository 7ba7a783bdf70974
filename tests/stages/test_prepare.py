from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lirf import params
from lirf.store import parts
from stages.prepare import prepare
from stages.support.command import Out
from stages.unpack import unpack

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[parts.Part, dict[str, int]]]


def numbers(
    neighbours: int = 3, manifold_neighbours: int = 3, compared: int = 1, **section: Any
) -> params.Params:
    everything = params.load(ROOT / "params.yaml")
    return everything.model_copy(
        update={
            "prepare": everything.prepare.model_copy(update={"resolution": 8, **section}),
            "correct": everything.correct.model_copy(update={"neighbours": neighbours}),
            "evaluate": everything.evaluate.model_copy(update={"neighbours": compared}),
            "diagnose": everything.diagnose.model_copy(update={"neighbours": 1, "bins": 1}),
            "autoencoder": everything.autoencoder.model_copy(
                update={"manifold_neighbours": manifold_neighbours}
            ),
        }
    )


def picture(path: Path, seed: int, *shape: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape or (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder of five training images and two held out, all different."""
    for seed in range(5):
        picture(tmp_path / f"source/{seed}.png", seed)
    for seed in (5, 6):
        picture(tmp_path / f"source/heldout/{seed}.png", seed)
    return tmp_path / "source"


@pytest.fixture
def run(source: Path, tmp_path: Path) -> Run:
    def call(**changes: Any) -> tuple[parts.Part, dict[str, int]]:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        out, metrics = folder / "images", folder / "metrics.json"
        prepare(
            numbers(**{"images": str(source), "holdout": 0.0, **changes}), Out(out), Out(metrics)
        )
        return parts.read(out), json.loads(metrics.read_text())

    return call


def test_rows_say_what_every_image_was(run: Run, source: Path):
    picture(source / "sub/5.jpg", 9, 20, 30, 3)

    part, counts = run()

    assert part.array.shape == (8, 1, 8, 8)
    assert part.array.dtype == np.uint8
    assert part.attributes == {"colour": "grey", "resolution": 8}
    assert part.rows["split"].to_pylist() == ["train"] * 6 + ["heldout"] * 2
    assert part.rows["id"].to_pylist()[5:7] == ["train-00005", "heldout-00000"]
    jpeg = part.rows.to_pylist()[5]
    assert (jpeg["source"], jpeg["width"], jpeg["height"], jpeg["mode"]) == (
        ("sub/5.jpg", 30, 20, "RGB")
    )
    assert jpeg["done"] == (
        "converted from RGB to L; cropped from 30x20 to 20x20; resized from 20x20 to 8x8"
    )
    assert len(jpeg["sha256"]) == 64
    assert counts == {
        "train": 6,
        "heldout": 2,
        "mirrored": 0,
        "skipped": 0,
        "duplicates": 0,
        "near_duplicates": 0,
        "converted": 1,
    }


def test_pixels_belong_to_their_rows(run: Run, source: Path):
    part, _ = run()

    for pixels, row in zip(part.array, part.rows.to_pylist(), strict=True):
        with Image.open(source / row["source"]) as image:
            np.testing.assert_array_equal(pixels[0], np.asarray(image))


def test_mixed_grey_and_rgb_are_counted_and_summed_up(
    run: Run, source: Path, capsys: pytest.CaptureFixture[str]
):
    picture(source / "colour.png", 9, 8, 8, 3)

    part, counts = run(colour="rgb")

    assert part.array.shape == (8, 3, 8, 8)
    assert counts["converted"] == 7
    assert part.rows["done"].to_pylist().count("converted from L to RGB") == 7
    assert "7 converted to rgb" in capsys.readouterr().err


def test_flips_are_recorded_for_training_images_only(run: Run):
    part, counts = run(flip=True)
    rows = part.rows.to_pylist()

    assert [(row["id"], row["flip"]) for row in rows[:4]] == [
        ("train-00000", False),
        ("train-00000-flip", True),
        ("train-00001", False),
        ("train-00001-flip", True),
    ]
    assert rows[0]["source"] == rows[1]["source"]
    assert rows[1]["done"] == "unchanged; mirrored"
    np.testing.assert_array_equal(part.array[1], part.array[0, :, :, ::-1])
    assert not any(row["flip"] for row in rows if row["split"] == "heldout")
    assert (counts["train"], counts["mirrored"], counts["heldout"]) == (5, 5, 2)


def test_duplicates_and_leaks_are_left_out_by_name(
    run: Run, source: Path, capsys: pytest.CaptureFixture[str]
):
    picture(source / "again.bmp", 0)  # the pixels of 0.png in another format
    picture(source / "heldout/leak.png", 1)

    part, counts = run()
    errors = capsys.readouterr().err

    assert (counts["train"], counts["heldout"], counts["duplicates"]) == (5, 2, 2)
    assert "left out again.bmp: identical to 0.png" in errors
    assert "left out held-out image heldout/leak.png: identical to 1.png" in errors
    assert "heldout/leak.png" not in part.rows["source"].to_pylist()


def test_what_may_not_be_meant_is_said_once_a_kind(
    run: Run, source: Path, capsys: pytest.CaptureFixture[str]
):
    for seed in (7, 8, 9):
        pages = [Image.open(picture(source / "x/0.png", 10 * seed + page)) for page in range(3)]
        pages[0].save(source / f"x/{seed}.tif", save_all=True, append_images=pages[1:])
    dark = np.random.default_rng(0).integers(0, 4096, (8, 8), dtype=np.uint16)
    dark[0, 0] = 4080
    Image.fromarray(dark.clip(max=4080)).save(source / "dark.png")

    part, counts = run()
    errors = capsys.readouterr().err

    assert counts["train"] == len(part.array) - 2 == 10
    assert (
        "warning: x/7.tif: first of 3 pages taken; save each to a file of its own"
        " (and 2 more such files)\n"
    ) in errors
    assert "warning: dark.png: its 16-bit values end at 4080 of 65535, so it comes" in errors
    assert errors.count("warning") == 2


def test_what_is_not_read_is_named(run: Run, source: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("a.heic", "b.HEIC", "notes.txt", "@eaDir/0.png/SYNO.jpg", "Thumbs.db"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()

    assert run()[1]["train"] == 5
    assert capsys.readouterr().err.splitlines()[1:] == [  # after its progress
        "warning: HEIC is not read: a.heic and 1 more; save it as PNG",
        "prepare: 5 to train on, 0 of them also mirrored, 2 held out; 0 converted to grey,"
        " 0 skipped, 0 duplicates left out, 1 other files ignored; not looked into: @eaDir",
    ]


BAD = {
    "truncated.jpg": "truncated",
    "empty.png": "0 bytes",
    "text.png": "not a PNG",
    "small.png": r"7x30 px, .*prepare\.resolution = 8, which you may lower",
    "large.png": r"megapixels, more than prepare\.max_megapixels = 0\.01",
}


def spoil(source: Path, name: str) -> None:
    path = source / name
    match path.stem:
        case "truncated":
            content = picture(path, 0, 99, 99, 3).read_bytes()
            path.write_bytes(content[: len(content) // 2])
        case "empty":
            path.touch()
        case "text":
            path.write_text("not an image")
        case "small":
            picture(path, 0, 30, 7)
        case "large":
            picture(path, 0, 101, 100)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_fails_on_one_line_with_the_remedy(
    run: Run, source: Path, tmp_path: Path, name: str
):
    spoil(source, name)

    with pytest.raises(ValueError, match=BAD[name]) as caught:
        run(max_megapixels=0.01)

    message = str(caught.value)
    assert message.startswith(f"{source / name}: ")
    assert message.endswith("; fix or remove the file, or set prepare.on_bad_image: skip")
    assert "\n" not in message
    assert not (tmp_path / "images").exists()


def test_bad_images_are_skipped_by_name_and_counted(
    run: Run, source: Path, capsys: pytest.CaptureFixture[str]
):
    for name in BAD:
        spoil(source, name)

    part, counts = run(on_bad_image="skip", max_megapixels=0.01)
    errors = capsys.readouterr().err

    assert counts["skipped"] == len(BAD)
    assert counts["train"] == 5
    assert len(part.array) == 7
    assert errors.count("warning: skipped") == len(BAD)
    assert all(str(source / name) in errors for name in BAD)
    assert f"{len(BAD)} skipped" in errors


def test_nothing_left_after_skipping_is_an_error(tmp_path: Path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a.png").touch()

    with pytest.raises(ValueError, match=r"source: 0 training images \(0 held out, 1 skipped"):
        prepare(
            numbers(images=str(tmp_path / "source"), on_bad_image="skip"),
            Out(tmp_path / "images"),
            Out(tmp_path / "metrics.json"),
        )


@pytest.mark.parametrize(
    ("neighbours", "manifold_neighbours", "remedy"),
    [
        (5, 1, "at least 6 needed; add images or lower correct.neighbours = 5"),
        (1, 5, "at least 6 needed; add images or lower autoencoder.manifold_neighbours = 5"),
    ],
)
def test_too_few_images_name_the_number_to_lower(
    run: Run, neighbours: int, manifold_neighbours: int, remedy: str
):
    with pytest.raises(
        ValueError, match=r"5 training images \(2 held out, 0 skipped, 0 dup"
    ) as caught:
        run(neighbours=neighbours, manifold_neighbours=manifold_neighbours)

    assert str(caught.value).endswith(remedy)


def test_duplicates_and_mirror_images_do_not_count_as_enough(run: Run, source: Path):
    picture(source / "again.png", 0)

    with pytest.raises(ValueError, match=r"5 training images .* 1 duplicates .* at least 6"):
        run(neighbours=5, flip=True)


def test_two_images_are_never_enough(tmp_path: Path):
    for seed in range(2):
        picture(tmp_path / f"source/{seed}.png", seed)

    with pytest.raises(ValueError, match=r"2 training images .* at least 3 needed; add images"):
        prepare(
            numbers(
                images=str(tmp_path / "source"), neighbours=1, manifold_neighbours=1, holdout=0.0
            ),
            Out(tmp_path / "images"),
            Out(tmp_path / "metrics.json"),
        )


def test_just_enough_images_are_enough(run: Run):
    assert run(neighbours=4, manifold_neighbours=4)[1]["train"] == 5


@pytest.mark.parametrize("name", ["missing", "empty", "file.png"])
def test_a_folder_that_is_none_is_refused_on_one_line(tmp_path: Path, name: str):
    (tmp_path / "empty").mkdir()
    picture(tmp_path / "file.png", 0)

    with pytest.raises(ValueError, match=r"set prepare\.images to a folder of images") as caught:
        prepare(
            numbers(images=str(tmp_path / name)),
            Out(tmp_path / "images"),
            Out(tmp_path / "metrics.json"),
        )

    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)


def test_two_runs_write_the_same_bytes(source: Path, tmp_path: Path):
    picture(source / "photo.jpg", 9, 40, 30, 3)
    contents = []
    for name in ("a", "b"):
        out = tmp_path / name
        out.mkdir()
        changed = numbers(images=str(source), flip=True)
        prepare(changed, Out(out / "images"), Out(out / "metrics.json"))
        files = sorted(path for path in out.rglob("*") if path.is_file())
        contents.append([(path.relative_to(out), path.read_bytes()) for path in files])

    assert contents[0] == contents[1]


def test_bundled_faces_are_prepared_whole(tmp_path: Path):
    unpack(numbers(), "faces", Out(tmp_path / "faces"))
    prepare(
        numbers(images=str(tmp_path / "faces"), resolution=24, flip=True, holdout=0.0),
        Out(tmp_path / "images"),
        Out(tmp_path / "metrics.json"),
    )

    assert parts.read(tmp_path / "images").array.shape == (200, 1, 24, 24)


def photograph(path: Path, seed: int, change: int = 0) -> None:
    """Save a smooth random picture of 40 px; with `change`, a little brighter than it was."""
    coarse = np.random.default_rng(seed).integers(40, 200, (5, 5), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((40, 40)).point(lambda value: value + change)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def test_where_the_folder_says_nothing_a_share_is_held_out(run: Run, source: Path):
    part, counts = run(holdout=0.5)
    assert (counts["train"], counts["heldout"]) == (5, 2)  # the folder does say so
    for path in (source / "heldout").iterdir():
        path.rename(source / f"more-{path.name}")
    part, counts = run(holdout=0.3)
    assert (counts["train"], counts["heldout"]) == (5, 2)
    assert part.rows["split"].to_pylist() == ["train"] * 5 + ["heldout"] * 2
    drawn = part.rows["source"].to_pylist()[5:]
    assert run(holdout=0.3, seed=3)[0].rows["source"].to_pylist()[5:] != drawn
    assert run(holdout=0.0)[1]["heldout"] == 0


def test_near_duplicates_are_named_and_held_out_together(
    run: Run, source: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.rmtree(source)
    for seed in range(8):
        photograph(source / f"{seed}.png", seed)
        photograph(source / f"{seed}-again.png", seed, change=5)
    part, counts = run(resolution=32, holdout=0.25)
    assert (counts["train"], counts["heldout"], counts["near_duplicates"]) == (12, 4, 8)
    heldout = part.rows["source"].to_pylist()[12:]
    assert {name[0] for name in heldout} == {heldout[0][0], heldout[-1][0]}
    assert "0-again.png and 0.png are nearly the same image" in capsys.readouterr().err
    (source / "test").mkdir()
    (source / "3-again.png").rename(source / "test/3.png")
    run(resolution=32)
    told = capsys.readouterr().err
    assert "warning: held-out image test/3.png is nearly 3.png, which is trained on" in told
    assert run(resolution=16)[1]["near_duplicates"] == 0  # too small to tell


def test_what_does_not_fit_is_refused_before_any_image_is_read(run: Run, source: Path):
    (source / "broken.png").write_bytes(b"no image")
    with pytest.raises(
        ValueError, match=r"^prepare.resolution = 9: not divisible by 2, which 2 au"
    ):
        run(resolution=9)
    with pytest.raises(ValueError, match=r"broken.png"):
        run()


def test_too_few_held_out_images_are_a_warning(
    run: Run, source: Path, capsys: pytest.CaptureFixture[str]
):
    for seed in range(20, 23):
        picture(source / f"{seed}.png", seed)
    run(compared=5)
    told = capsys.readouterr().err
    assert "warning: 2 held-out images, evaluate.neighbours = 5 needs more: " in told
    for seed in range(30, 34):
        picture(source / f"heldout/{seed}.png", seed)
    run(compared=5)
    assert "needs more" not in capsys.readouterr().err
