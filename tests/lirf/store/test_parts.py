"""A part returns what it was given, byte for byte, or names the file that is wrong."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from written import SPACE, edit_json, files, latents, rows, write_bank

from lirf.store import banks, parts
from lirf.store.files import checksums


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


def test_a_file_that_the_manifest_does_not_name_is_not_read(tmp_path: Path):
    part = write_bank(tmp_path) / "r00"
    (part / "array" / "c" / "1").mkdir()
    (part / "array" / "c" / "1" / "0").write_bytes(b"more")
    with pytest.raises(ValueError, match=r"array/c/1/0: not in part\.json"):
        banks.read(tmp_path / "bank")
    edit_json(part / parts.MANIFEST, "files", value={})
    with pytest.raises(ValueError, match=r"rows\.parquet: not in part\.json"):
        banks.read(tmp_path / "bank")
