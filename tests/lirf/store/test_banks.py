"""The store returns what it was given, byte for byte, or names the file that is wrong."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lirf.store import banks, parts, tables
from lirf.store.files import checksums, sha256, write_json
from lirf.store.space import Space

SPACE = Space("f00d", (2, 3, 3), (0.5, -1.0), (2.0, 0.25))


def latents(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *SPACE.shape)).astype(np.float32)


def rows(count: int, round_: str = "r00") -> pa.Table:
    ids = [f"{round_}-{i:05d}" for i in range(count)]
    return banks.bank_rows({"id": ids})


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_image_and_its_twin_are_a_group_and_every_refined_row_is_its_own():
    sources = ["b.png", "b.png", "a.png", None, None]
    rows = banks.bank_rows({"id": ["1", "1-flip", "2", "r01-1", "r01-2"], "source": sources})
    numbers = banks.Register(rows, SPACE).groups
    assert numbers[0] == numbers[1]
    assert len(set(numbers.tolist())) == 4


@settings(deadline=None, max_examples=40)
@given(
    array=hnp.arrays(
        st.sampled_from([np.uint8, np.float32, np.int64]),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    )
)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray):
    folder = tmp_path_factory.mktemp("store") / "part"
    table = pa.table({"id": [str(i) for i in range(len(array))]})
    parts.write(folder, array, table, {"colour": "grey"})
    part = parts.read(folder)
    np.testing.assert_array_equal(part.array, array)
    assert part.array.dtype == array.dtype
    assert part.rows == table
    assert part.attributes == {"colour": "grey"}


def test_more_rows_than_a_shard(tmp_path: Path):
    array = np.arange((parts.SHARD_ROWS + 65) * 2, dtype=np.int64).reshape(-1, 2)
    table = pa.table({"id": np.arange(len(array))})
    parts.write(tmp_path / "part", array, table, {})
    np.testing.assert_array_equal(parts.read(tmp_path / "part").array, array)
    shards = [name for name in files(tmp_path / "part") if name.startswith("array/c/")]
    assert len(shards) == 2


def test_the_same_content_has_the_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        banks.write(tmp_path / name, "r00", latents(150), rows(150), SPACE)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_bank_keeps_its_earlier_parts_byte_for_byte(tmp_path: Path):
    first, second = latents(5, 1), latents(7, 2)
    banks.write(tmp_path / "b0", "r00", first, rows(5), SPACE)
    banks.write(tmp_path / "b1", "r01", second, rows(7, "r01"), SPACE, tmp_path / "b0")
    bank = banks.read(tmp_path / "b1")
    np.testing.assert_array_equal(bank.latents, np.concatenate([first, second]))
    assert (
        bank.rows["id"].to_pylist() == rows(5)["id"].to_pylist() + rows(7, "r01")["id"].to_pylist()
    )
    assert bank.space == SPACE
    assert files(tmp_path / "b0" / "r00") == files(tmp_path / "b1" / "r00")


def test_a_round_that_admits_nothing_is_an_empty_part(tmp_path: Path):
    banks.write(tmp_path / "b0", "r00", latents(5), rows(5), SPACE)
    banks.write(tmp_path / "b1", "r01", latents(0), rows(0, "r01"), SPACE, tmp_path / "b0")
    assert len(banks.read(tmp_path / "b1").latents) == 5


def test_rows_are_read_without_the_array(tmp_path: Path):
    banks.write_latents(tmp_path / "part", latents(3), rows(3), SPACE, spacing=1.5)
    (tmp_path / "part" / "array" / "zarr.json").unlink()
    table, attributes = parts.read_rows(tmp_path / "part")
    assert table.num_rows == 3
    assert attributes["spacing"] == 1.5


@pytest.mark.parametrize("name", ["array/c/0/0/0/0", "array/zarr.json", "rows.parquet"])
@pytest.mark.parametrize("fault", ["missing", "truncated", "flipped"])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, name: str, fault: str):
    banks.write_latents(tmp_path / "part", latents(3), rows(3), SPACE)
    path = tmp_path / "part" / name
    content = path.read_bytes()
    if fault == "missing":
        path.unlink()
    elif fault == "truncated":
        path.write_bytes(content[:-1])
    else:
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    said = "missing" if fault == "missing" else "damaged"
    with pytest.raises(ValueError, match=f"{path}: {said}.*pipeline.repair"):
        banks.read_latents(tmp_path / "part")


@pytest.mark.parametrize("content", [None, "", "[]", '{"format": 99}'])
def test_a_manifest_that_is_not_ours_is_named(tmp_path: Path, content: str | None):
    folder = tmp_path / "part"
    banks.write_latents(folder, latents(3), rows(3), SPACE)
    manifest = folder / parts.MANIFEST
    manifest.unlink() if content is None else manifest.write_text(content)
    with pytest.raises(ValueError, match=r"part\.json: .*(pipeline.repair|dvc repro)"):
        banks.read_latents(folder)


@pytest.mark.parametrize(
    "other",
    [
        Space("beef", SPACE.shape, SPACE.mean, SPACE.std),
        Space(SPACE.autoencoder, SPACE.shape, SPACE.mean, (2.0, 0.5)),
    ],
)
def test_latents_of_another_space_are_refused(tmp_path: Path, other: Space):
    banks.write(tmp_path / "b0", "r00", latents(5), rows(5), SPACE)
    with pytest.raises(ValueError, match=r"b0.r00: latents of another space: (auto|std)"):
        banks.write(tmp_path / "b1", "r01", latents(2), rows(2), other, tmp_path / "b0")
    foreign = tmp_path / "b2"
    banks.write(foreign, "r01", latents(2), rows(2, "r01"), SPACE, tmp_path / "b0")
    manifest = json.loads((foreign / "r01" / parts.MANIFEST).read_text())
    manifest["attributes"]["space"] = other.to_json()
    write_json(foreign / "r01" / parts.MANIFEST, manifest)
    with pytest.raises(ValueError, match=r"b2.r01: latents of another space"):
        banks.read(foreign)


def test_latents_that_are_not_finite_are_refused(tmp_path: Path):
    bad = latents(4)
    bad[2, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="the latent of r00-00002 is not finite"):
        banks.write(tmp_path / "b0", "r00", bad, rows(4), SPACE)
    assert not (tmp_path / "b0").exists()


def write_bank(tmp_path: Path) -> Path:
    banks.write(tmp_path / "bank", "r00", latents(5), rows(5), SPACE)
    return tmp_path / "bank"


def edit_json(path: Path, *keys: str | int, value: Any) -> None:
    """Change a value of a JSON file of a part, and its checksum in the manifest."""
    document = json.loads(path.read_text())
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(document))
    if path.name == "zarr.json":
        sign(path.parents[1], path)


def sign(part: Path, path: Path) -> None:
    name = path.relative_to(part).as_posix()
    edit_json(part / parts.MANIFEST, "files", name, value=sha256(path))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("shape",), [10**12, 2, 3, 3]),
        (("shape",), [5, 10**6, 10**6, 3]),
        (("shape",), [-5, 2, 3, 3]),
        (("shape",), "5"),
        (("data_type",), "string"),
        (("zarr_format",), 2),
        (("chunk_grid", "configuration", "chunk_shape"), [1, 1, 1, 1]),
        (("codecs", 0, "name"), "numcodecs.pickle"),
        (("codecs", 0, "configuration", "codecs", 1, "name"), "gzip"),
        (("codecs", 0, "configuration", "index_codecs"), []),
        (("codecs",), []),
        (("storage_transformers",), [{"name": "x"}]),
    ],
)
def test_an_array_of_another_layout_is_refused(tmp_path: Path, keys: tuple, value: object):
    path = write_bank(tmp_path) / "r00" / "array" / "zarr.json"
    edit_json(path, *keys, value=value)
    with pytest.raises(ValueError, match=r"zarr\.json: not an array as it is written here"):
        banks.read(tmp_path / "bank")


def test_a_pickle_in_an_older_format_is_not_read(tmp_path: Path):
    part = write_bank(tmp_path) / "r00"

    class Evil:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    shutil.rmtree(part / "array")
    (part / "array").mkdir()
    old = {
        "zarr_format": 2, "shape": [5], "chunks": [5], "dtype": "|O", "order": "C",
        "fill_value": None, "compressor": None, "filters": [{"id": "pickle"}],
    }  # fmt: skip
    (part / "array" / ".zarray").write_text(json.dumps(old))
    (part / "array" / "0").write_bytes(pickle.dumps(np.array([Evil()] * 5, object)))
    listed = {name: value for name, value in checksums(part).items() if name != parts.MANIFEST}
    edit_json(part / parts.MANIFEST, "files", value=listed)
    with pytest.raises(ValueError, match=r"array.zarr\.json: missing"):
        banks.read(tmp_path / "bank")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("parts", [["../b1"], ["/etc"], [], ["r00", "r00"], [3], "r00", None])
def test_names_of_parts_are_no_paths(tmp_path: Path, parts: object):
    bank = write_bank(tmp_path)
    edit_json(bank / banks.INDEX, "parts", value=parts)
    for use in (
        lambda: banks.read(bank),
        lambda: banks.write(tmp_path / "next", "r01", latents(2), rows(2, "r01"), SPACE, bank),
    ):
        with pytest.raises(ValueError, match=r"bank\.json: damaged \(no names of parts\)"):
            use()


def test_a_file_that_the_manifest_does_not_name_is_not_read(tmp_path: Path):
    part = write_bank(tmp_path) / "r00"
    (part / "array" / "c" / "1").mkdir()
    (part / "array" / "c" / "1" / "0").write_bytes(b"more")
    with pytest.raises(ValueError, match=r"array/c/1/0: not in part\.json"):
        banks.read(tmp_path / "bank")
    edit_json(part / parts.MANIFEST, "files", value={})
    with pytest.raises(ValueError, match=r"rows\.parquet: not in part\.json"):
        banks.read(tmp_path / "bank")


@pytest.mark.parametrize(
    "space", [None, {}, {**SPACE.to_json(), "shape": [2, 3]}, {**SPACE.to_json(), "std": [1, 0]}]
)
def test_a_space_that_is_none_is_refused(tmp_path: Path, space: object):
    manifest = write_bank(tmp_path) / "r00" / parts.MANIFEST
    edit_json(manifest, "attributes", "space", value=space)
    with pytest.raises(ValueError, match=r"part\.json: damaged \(not a latent space"):
        banks.read(tmp_path / "bank")


def test_a_table_with_absurdly_many_rows_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tables.write(tmp_path / "rows.parquet", rows(5))
    monkeypatch.setattr(tables, "MOST_ROWS", 4)
    with pytest.raises(ValueError, match=r"rows\.parquet: cannot be read \(5 rows, at most 4\)"):
        tables.read(tmp_path / "rows.parquet")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_latents_of_any_kind_are_finite_or_named(tmp_path: Path, bad: float):
    z = latents(4)
    z[2, 1, 0, 0] = bad
    with pytest.raises(ValueError, match="part: the latent of r01-00002 is not finite"):
        banks.write_latents(tmp_path / "part", z, rows(4, "r01"), SPACE)
    assert not (tmp_path / "part").exists()
