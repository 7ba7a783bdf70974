"""Tables of rows on disk, as Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import Table

from lirf.store import files

MOST_ROWS = 10**7


def table(columns: Mapping[str, Any], schema: pa.Schema | None = None) -> Table:
    """Return a table of columns by name, lists or arrays of one length, as `schema` has them."""
    return pa.table(dict(columns), schema=schema)


def write(path: Path, rows: Table) -> None:
    """Write a table as Parquet; the same rows give the same bytes."""
    with files.writing(path):
        pq.write_table(rows, path, compression="zstd")


def read(path: Path, most: int = MOST_ROWS) -> Table:
    """Read a Parquet table.

    Raises:
        ValueError: the file is missing, is not Parquet or has more rows than `most`.
    """
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > most:
                raise ValueError(f"{file.metadata.num_rows} rows, at most {most}")
            return file.read()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ValueError(f"{path}: cannot be read ({files.plain(error)}); {files.REMEDY}") from None
