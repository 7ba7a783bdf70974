"""A table is read back as it was written, or its file is named."""

from pathlib import Path

import pyarrow as pa
import pytest

from lirf.store import tables

ROWS = pa.table({"id": ["a", "b", "c"], "novelty": [0.5, 1.5, None]})


def test_the_same_rows_have_the_same_bytes_and_are_read_back(tmp_path: Path):
    for name in ("a", "b"):
        tables.write(tmp_path / name, ROWS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert tables.read(tmp_path / "a") == ROWS


@pytest.mark.parametrize("content", [None, b"", b"PAR1"])
def test_what_is_no_table_is_named(tmp_path: Path, content: bytes | None):
    path = tmp_path / "rows.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"rows\.parquet: cannot be read \(.*pipeline.repair"):
        tables.read(path)


def test_a_table_with_absurdly_many_rows_is_refused_before_it_is_read(tmp_path: Path):
    tables.write(tmp_path / "rows.parquet", ROWS)
    with pytest.raises(ValueError, match=r"rows\.parquet: cannot be read \(3 rows, at most 2\)"):
        tables.read(tmp_path / "rows.parquet", most=2)
