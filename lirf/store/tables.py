"""Tables of rows on disk, as Parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lirf.store import files

MOST_ROWS = 10**7


def write(path: Path, rows: pa.Table) -> None:
    """Write a table as Parquet; the same rows give the same bytes."""
    with files.writing(path):
        pq.write_table(rows, path, compression="zstd")


def read(path: Path, most: int = MOST_ROWS) -> pa.Table:
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
