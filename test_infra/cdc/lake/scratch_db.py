"""A DuckDB on disk for the time of one comparison: its memory is bounded, what needs more goes to disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.paths import private_dir
from test_infra.cdc.types import identifier, literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.lake.table import LakeTable

MEMORY_LIMIT = "256MB"
LARGE_ROW_BYTES = 4_096
MEMORY_LIMIT_OF_LARGE_ROWS = "1GB"
"""Sorting and joining go to disk in blocks, but a value is in memory as a whole."""
SETTINGS = "SET TimeZone = 'UTC'; SET enable_progress_bar = false"
"""Of every DuckDB connection and cursor. Without the second, a query of some seconds draws a bar on standard output."""


def memory_limit(row_bytes: int) -> str:
    """What a comparison of rows of this size may use."""
    return MEMORY_LIMIT_OF_LARGE_ROWS if row_bytes > LARGE_ROW_BYTES else MEMORY_LIMIT


@contextmanager
def on_disk(stack_dir: Path) -> Iterator[DuckDBPyConnection]:
    """A database in a private folder below the stack's; both are gone after the block."""
    with folder_below(stack_dir) as folder, database_in(folder) as connection:
        yield connection


@contextmanager
def folder_below(stack_dir: Path) -> Iterator[Path]:
    """A private folder below the stack's, gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix="scratch-", dir=private_dir(stack_dir / "scratch")))
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


def view(connection: DuckDBPyConnection, name: str, table: LakeTable) -> None:
    """Name the rows of a table for SQL of this connection.

    DuckDB reads the files itself where they hold the rows as they are: so its memory limit holds, and only the columns
    and row groups that a query needs are read. The rows of other tables (partitions, deletion vectors, column mapping)
    are copied into the database once, batch by batch.

    Args:
        connection: of `on_disk` or `database_in`.
        name: of the view; one of that name is replaced.
        table: opened at the version that is wanted.

    Raises:
        TableUnreadable: the table uses a feature that it cannot be read with.
    """
    if (files := table.files()) is None:
        rows = _copied(connection, name, table)
    else:
        rows = _read_from(connection, name, table, files)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {identifier(name)} AS {rows}")


def _copied(connection: DuckDBPyConnection, name: str, table: LakeTable) -> str:
    """A query of the table's rows, which lie in the database."""
    copy, given = identifier(f"rows of {name}"), f"given rows of {name}"
    connection.register(given, table.rows())
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {copy} AS FROM {identifier(given)}")
    finally:
        connection.unregister(given)
    return f"FROM temp.{copy}"


def _read_from(connection: DuckDBPyConnection, name: str, table: LakeTable, files: Sequence[str]) -> str:
    """A query of the rows in the table's files."""
    # The files may be none, and may lack a column that the table got later.
    shape = f"shape of {name}"
    connection.register(shape, table.schema().empty_table())
    rows = f"SELECT * FROM {identifier(shape)}"
    if not files:
        return rows
    listed = ", ".join(map(literal, files))
    return f"{rows} UNION ALL BY NAME SELECT * FROM read_parquet([{listed}], union_by_name = true)"
