"""Reads the rows of a frozen source: each batch is written to disk as it is, and summed by bucket on the way.

Most time goes into PostgreSQL's and the driver's work on each row, so several sessions read side by side. The files are
Arrow without compression: writing the rows into DuckDB's own tables took longer than reading them from PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from test_infra.base.errors import InfrastructureError
from test_infra.cdc.judge import sums
from test_infra.cdc.lake.scratch_db import SETTINGS
from test_infra.cdc.types import NO_EXACT_FORM, identifier, rule_for
from test_infra.cdc.types.table_id import safe_name

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.sources.source import FrozenSource, SourcePart
    from test_infra.cdc.types.table import TableSchema


class NoExactForm(InfrastructureError):
    """The source holds a value that Delta cannot hold, so its table cannot be compared."""


def rows_of(table: str) -> str:
    """The relation of a table's rows, by its label, typed as `test_infra.cdc.types` says."""
    return identifier(f"source of {safe_name(table)}")


def sums_of(table: str) -> str:
    """The relation of the sums of a table's rows."""
    return identifier(f"sums of source of {safe_name(table)}")


def read_source_rows(frozen: FrozenSource, folder: Path, connection: DuckDBPyConnection) -> dict[str, int]:
    """Read every row of every table, by all sessions of the frozen source side by side.

    Args:
        frozen: the moment.
        folder: takes the files of the rows; they must stay as long as the relations are used.
        connection: gets the relations `rows_of` and `sums_of` for each table.

    Returns:
        Table label -> bytes of a row on average, in memory.

    Raises:
        InfrastructureError: a read failed.
        NoExactForm: a table holds a value that Delta cannot hold.
    """
    import pyarrow as pa

    parts: SimpleQueue[tuple[Path, SourcePart]] = SimpleQueue()
    files: dict[str, list[Path]] = {table.schema.label: [] for table in frozen.tables}
    summed: dict[str, list[pa.Table]] = {table.schema.label: [] for table in frozen.tables}
    for number, part in enumerate(frozen.parts()):
        path = folder / f"{number}.arrow"
        files[part.schema.label].append(path)
        parts.put((path, part))

    def read(session: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(SETTINGS)
            while True:
                try:
                    path, part = parts.get_nowait()
                except Empty:
                    return
                with frozen.rows(part, session) as rows:
                    summed[part.schema.label].append(_write_and_sum(cursor, part.schema, rows, path))

    with ThreadPoolExecutor(len(frozen.sessions), thread_name_prefix="read source rows") as pool:
        list(pool.map(read, frozen.sessions))
    row_bytes = {}
    for table in frozen.tables:
        name = table.schema.label
        # Memory-mapped: columns that a query does not use are never read, and the rest is the system's cache.
        mapped = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in files[name]]
        rows = pa.concat_tables(mapped)
        row_bytes[name] = rows.nbytes // max(1, rows.num_rows)
        connection.register(f"files of {safe_name(name)}", rows)
        typed = _typed(table.schema, identifier(f"files of {safe_name(name)}"))
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {rows_of(name)} AS {typed}")
        connection.register(f"parts of {safe_name(name)}", pa.concat_tables(summed[name]))
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE {sums_of(name)} AS
            SELECT bucket, sum(rows) AS rows, sum(sum1::HUGEINT) AS sum1, sum(sum2::HUGEINT) AS sum2
            FROM {identifier(f"parts of {safe_name(name)}")} GROUP BY bucket"""
        )
        connection.unregister(f"parts of {safe_name(name)}")
    return row_bytes


def _write_and_sum(cursor: DuckDBPyConnection, schema: TableSchema, rows: pa.RecordBatchReader, path: Path) -> pa.Table:
    """Write rows to a file and return their sums; one batch at a time is in memory."""
    import duckdb
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:

        def written() -> Iterator[pa.RecordBatch]:
            for batch in rows:
                writer.write_batch(batch)
                yield batch

        cursor.register("incoming", pa.RecordBatchReader.from_batches(rows.schema, written()))
        try:
            return cursor.sql(sums.sums_sql(f"({_typed(schema, 'incoming')})", schema.columns)).to_arrow_table()
        except duckdb.InvalidInputException as error:
            if NO_EXACT_FORM not in str(error):
                raise
            raise NoExactForm(
                f"table {schema.qualified} cannot be compared",
                details={"seen": str(error).removeprefix("Invalid Input Error: ").strip()},
                hint="change the value, or leave the table out; docs/types.md says what each type can hold",
            ) from None
        finally:
            cursor.unregister("incoming")


def _typed(schema: TableSchema, rows: str) -> str:
    columns = ", ".join(
        f"{rule_for(column).from_source(identifier(column.name))} AS {identifier(column.name)}"
        for column in schema.columns
    )
    return f"SELECT {columns} FROM {rows}"
