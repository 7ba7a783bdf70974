"""Which files are found, which are refused, and which images repeat others."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lirf.images import folder
from lirf.images.decode import Decoded
from lirf.images.folder import ImageFile


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)  # pyright: ignore[reportArgumentType]
    return path


def grey(seed: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


def test_nested_files_are_found_in_posix_order(tmp_path: Path):
    for name in ("b/2.PNG", "b.jpg", "a/z/1.tiff", "heldout/x/3.bmp", "b/heldout/4.webp"):
        save(tmp_path / name, grey(0))
    (tmp_path / "notes.txt").write_text("not an image")

    files, others = folder.find(tmp_path)

    assert [(file.name, file.split) for file in files] == [
        ("a/z/1.tiff", "train"),
        ("b.jpg", "train"),
        ("b/2.PNG", "train"),
        ("b/heldout/4.webp", "train"),  # only the folder at the top is held out
        ("heldout/x/3.bmp", "heldout"),
    ]
    assert others.ignored == 1


def test_hidden_files_and_folders_are_skipped(tmp_path: Path):
    for name in ("a.png", "._a.png", ".cache/b.png"):
        save(tmp_path / name, grey(0))

    assert [file.name for file in folder.find(tmp_path)[0]] == ["a.png"]


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"nowhere: no such folder; set prepare\.images"):
        folder.find(tmp_path / "nowhere")


def test_a_file_is_not_a_folder(tmp_path: Path):
    with pytest.raises(ValueError, match=r"a\.png: not a folder; set prepare\.images"):
        folder.find(save(tmp_path / "a.png", grey(0)))


def test_a_folder_without_images_is_refused(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("not an image")

    with pytest.raises(ValueError, match=r"no images \(PNG, JPEG, WebP, TIFF, BMP\)"):
        folder.find(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_an_unreadable_folder_is_named(tmp_path: Path):
    save(tmp_path / "locked/a.png", grey(0))
    (tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(ValueError, match=r"locked: cannot be read"):
            folder.find(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path):
    outside = save(tmp_path / "outside.png", grey(0))
    save(tmp_path / "in/a.png", grey(1))
    (tmp_path / "in/b.png").symlink_to(outside)

    with pytest.raises(ValueError, match=r"b\.png: a link to a folder or out of it"):
        folder.find(tmp_path / "in")


def test_a_link_to_a_folder_is_refused(tmp_path: Path):
    save(tmp_path / "others/a.png", grey(0))
    (tmp_path / "heldout").symlink_to("others")  # would be trained on under its other name

    with pytest.raises(ValueError, match=r"heldout: a link to a folder"):
        folder.find(tmp_path)


def test_a_link_within_the_folder_and_a_linked_root_are_fine(tmp_path: Path):
    save(tmp_path / "real/a.png", grey(0))
    (tmp_path / "real/b.png").symlink_to("a.png")
    (tmp_path / "root").symlink_to("real")

    assert [file.name for file in folder.find(tmp_path / "root")[0]] == ["a.png", "b.png"]


def test_a_link_to_nothing_is_refused(tmp_path: Path):
    save(tmp_path / "a.png", grey(0))
    (tmp_path / "b.png").symlink_to("gone.png")

    with pytest.raises(ValueError, match=r"b\.png: a link to nothing; remove it"):
        folder.find(tmp_path)


@pytest.mark.parametrize("name", ["b.png", "pipe"])
def test_a_pipe_is_refused_and_never_opened(tmp_path: Path, name: str):
    save(tmp_path / "a.png", grey(0))
    os.mkfifo(tmp_path / name)

    with pytest.raises(ValueError, match=rf"{name}: a pipe, socket or device, .*; remove it"):
        folder.find(tmp_path)


def test_what_systems_leave_is_not_looked_into(tmp_path: Path):
    for name in ("a.png", "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", "b/__MACOSX/._a.png"):
        save(tmp_path / name, grey(0))
    for name in ("Thumbs.db", "b/desktop.ini", ".DS_Store", "Icon\r"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "@eaDir/pipe")

    files, others = folder.find(tmp_path)

    assert [file.name for file in files] == ["a.png"]
    assert others == folder.Others(debris={"@eaDir", "__MACOSX"})


def test_formats_that_are_not_read_are_named(tmp_path: Path):
    save(tmp_path / "a.png", grey(0))
    for name in ("x/1.HEIC", "x/0.heic", "logo.svg", "notes.txt", "README"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    save(tmp_path / "scan", grey(0), format="PNG")

    others = folder.find(tmp_path)[1]

    assert others.ignored == 2
    assert others.lines() == [
        "HEIC is not read: x/0.heic and 1 more; save it as PNG",
        "PNG without a suffix is not read: scan; add .png to its name",
        "SVG is not read: logo.svg; save it as PNG",
    ]


def test_a_folder_of_another_format_says_so(tmp_path: Path):
    (tmp_path / "a.heic").touch()

    with pytest.raises(ValueError, match=r"no images .*; HEIC is not read: a\.heic; save it as"):
        folder.find(tmp_path)


@pytest.mark.parametrize("suffix", ["JPG", "jpeg", "jpe", "jfif", "png", "apng", "TIF"])
def test_suffixes_of_formats_that_are_read(tmp_path: Path, suffix: str):
    (tmp_path / f"a.{suffix}").touch()

    assert [file.name for file in folder.find(tmp_path)[0]] == [f"a.{suffix}"]


@pytest.mark.parametrize("parent", ["my images", "a'b\"c", "a&b", "$HOME", "~", "[x] {y}", "ä*?"])
def test_any_name_of_a_folder_will_do(tmp_path: Path, parent: str):
    save(tmp_path / parent / parent / "a.png", grey(0))

    assert folder.find(tmp_path / parent)[0][0].name == f"{parent}/a.png"


def test_a_name_in_another_encoding_is_refused_on_one_line(tmp_path: Path):
    save(tmp_path / os.fsdecode(b"caf\xe9.png"), grey(0), format="PNG")

    with pytest.raises(ValueError, match=r"caf\\udce9\.png.*; rename it") as caught:
        folder.find(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["Heldout", "held-out", "held_out", "TEST", "val", "Valid", "validation", "hold out"]
)
def test_usual_names_of_what_is_held_out_are_known(tmp_path: Path, name: str):
    save(tmp_path / "train/a.png", grey(0))
    save(tmp_path / name / "deep/b.png", grey(1))
    save(tmp_path / f"{name}.png", grey(2))

    files, _ = folder.find(tmp_path)
    assert {file.name: file.split for file in files} == {
        "train/a.png": "train",
        f"{name}/deep/b.png": "heldout",
        f"{name}.png": "train",
    }


def test_a_name_that_is_not_text_is_refused_on_one_line(tmp_path: Path):
    save(tmp_path / "a\nb.png", grey(0))

    with pytest.raises(ValueError, match="rename it") as caught:
        folder.find(tmp_path)
    assert "\n" not in str(caught.value)


def prepared(name: str, pixels: np.ndarray) -> tuple[ImageFile, Decoded]:
    split = "heldout" if name.startswith("heldout/") else "train"
    return ImageFile(Path(name), name, split), Decoded(pixels[None], "", 8, 8, "L", "unchanged")


def test_training_rows_come_first_and_repeats_go():
    given_images = [
        prepared("a.png", grey(0)),
        prepared("b.png", grey(0)),
        prepared("c.png", grey(1)),
        prepared("heldout/a.png", grey(1)),
        prepared("heldout/b.png", grey(2)),
        prepared("z.png", grey(3)),
    ]

    rows, dropped = folder.distinct(given_images, flip=False)

    assert [(row.id, row.file.name) for row in rows] == [
        ("train-00000", "a.png"),
        ("train-00001", "c.png"),
        ("train-00002", "z.png"),
        ("heldout-00000", "heldout/b.png"),
    ]
    assert [(file.name, row.file.name) for file, row in dropped] == [
        ("b.png", "a.png"),
        ("heldout/a.png", "c.png"),
    ]


def test_mirror_images_follow_their_training_images():
    given_images = [prepared("a.png", grey(0)), prepared("heldout/b.png", grey(1))]

    rows, _ = folder.distinct(given_images, flip=True)

    assert [(row.id, row.flip) for row in rows] == [
        ("train-00000", False),
        ("train-00000-flip", True),
        ("heldout-00000", False),
    ]
    np.testing.assert_array_equal(rows[1].pixels, grey(0)[None, :, ::-1])


def test_a_held_out_image_that_mirrors_a_training_image_is_a_leak_only_with_flips():
    given_images = [prepared("a.png", grey(0)), prepared("heldout/b.png", grey(0)[:, ::-1])]

    assert folder.distinct(given_images, flip=False)[1] == []
    [(file, row)] = folder.distinct(given_images, flip=True)[1]
    assert (file.name, row.id) == ("heldout/b.png", "train-00000-flip")


def test_a_symmetric_image_has_no_mirror_image():
    symmetric = np.concatenate([grey(0)[:, :4], grey(0)[:, 3::-1]], axis=1)

    rows, dropped = folder.distinct([prepared("a.png", symmetric)], flip=True)

    assert [row.id for row in rows] == ["train-00000"]
    assert dropped == []
