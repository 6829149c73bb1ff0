"""A DuckDB on disk for the time of one comparison: memory is bounded, the rest is spilled."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from test_infra.base.paths import private_dir
from test_infra.cdc.lake import delta as lake
from test_infra.cdc.types import identifier, literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT = "256MB"
SETTINGS = "SET TimeZone = 'UTC'; SET enable_progress_bar = false"
"""Of every DuckDB connection and cursor: else a query of some seconds draws a bar on our standard output."""
COLUMN_MAPPING_READER = 2


@contextmanager
def on_disk(stack_dir: Path) -> Iterator[DuckDBPyConnection]:
    """A database in a private folder below the stack's; both are gone after the block."""
    with folder_below(stack_dir) as folder, database_in(folder) as connection:
        yield connection


@contextmanager
def folder_below(stack_dir: Path) -> Iterator[Path]:
    """A private folder below the stack's, gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix="spool-", dir=private_dir(stack_dir / "spool")))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database_in(folder: Path) -> Iterator[DuckDBPyConnection]:
    """A database in a folder, closed after the block. It fetches nothing."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(folder / "spill"),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "preserve_insertion_order": "false",
    }
    with duckdb.connect(str(folder / "rows.duckdb"), config=config) as connection:
        connection.execute(SETTINGS)
        yield connection


def view(connection: DuckDBPyConnection, name: str, table_dir: Path, version: int | None = None) -> None:
    """Name the rows of a Delta table at a version, or at its newest, for SQL of this connection.

    DuckDB reads the files itself: so its memory limit holds, and only the columns and row groups that a query needs
    are read. Tables that need more of a reader than files (deletion vectors, column mapping) go through delta-rs.

    Raises:
        TableMissing: there is no table.
    """
    import pyarrow as pa

    table = lake.open_table(table_dir, version)
    protocol, files = table.protocol(), [unquote(uri) for uri in table.file_uris()]
    needed = set(protocol.reader_features or ()) - {"timestampNtz"}
    more_than_files = (
        protocol.min_reader_version == COLUMN_MAPPING_READER or needed or table.metadata().partition_columns
    )
    # DuckDB takes these in a path for a pattern.
    if more_than_files or any(sign in str(table_dir) for sign in "*?[{"):
        connection.register(name, lake.dataset_of(table))
        return
    # The files may be none, and may lack a column that the table got later.
    shape = lake.plain(pa.schema(table.schema().to_arrow())).empty_table()
    connection.register(f"shape of {name}", shape)
    rows = f"SELECT * FROM {identifier(f'shape of {name}')}"
    if files:
        listed = ", ".join(map(literal, files))
        rows = f"{rows} UNION ALL BY NAME SELECT * FROM read_parquet([{listed}], union_by_name = true)"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {identifier(name)} AS {rows}")
