"""How the rows of a Delta table are read, by the features that it uses.

Three ways, from the fastest to the one that reads most:

- the Parquet files as they are (DuckDB, Arrow): the columns have their own names in the files, no row of a file is
  deleted, and no column is left out of the files;
- Arrow's dataset: partitioned tables, too, whose partition columns are not in the files;
- delta-rs' own scan: column mapping and deletion vectors, too.

What none of them reads right is refused by name. Arrow and DuckDB would read a column that the files know by another
name as NULL, without a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from test_infra.cdc.lake.schemas import plain
from test_infra.cdc.lake.table import TableUnreadable

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from pyarrow.dataset import Dataset, Expression

    from test_infra.cdc.lake.location import Location

MAPPING_MODE = "delta.columnMapping.mode"
NO_MATTER = frozenset({"timestampNtz"})
"""Reader features that every way reads right."""
SCANNED = frozenset({"columnMapping", "deletionVectors", "v2Checkpoint"})
"""Reader features that only delta-rs' own scan reads right; tried on tables that Spark wrote."""


class Way(IntEnum):
    """How the rows must be read; each reads what the ones before it read, too."""

    FILES = 1
    DATASET = 2
    SCAN = 3


def way_of(table: DeltaTable, location: Location) -> Way:
    """How the rows of an opened table must be read.

    Raises:
        TableUnreadable: it uses a feature that nothing here reads right; names it.
    """
    if unknown := set(table.protocol().reader_features or ()) - NO_MATTER - SCANNED:
        raise unreadable(location, min(unknown))
    if scanned_for(table):
        return Way.SCAN
    # DuckDB takes these in a path for a pattern.
    pattern = any(sign in unquote(table.table_uri) for sign in "*?[{")
    return Way.DATASET if table.metadata().partition_columns or pattern else Way.FILES


def refused_feature(error: str) -> str:
    """The feature for which delta-rs did not open a table, from its message; empty for another fault."""
    if "catalog-managed" in error:
        return "catalogManaged"
    named = re.search(r"[Ff]eature '(\w+)' is not supported|[Uu]nsupported table features required: \[(\w+)", error)
    return named[1] or named[2] if named else ""


def unreadable(location: Location, feature: str) -> TableUnreadable:
    """The error that names a feature, and what to do."""
    hint = f"in Spark: ALTER TABLE ... DROP FEATURE {feature}; or write the table without it"
    return TableUnreadable(location, f"the Delta feature {feature}", hint)


def scanned_for(table: DeltaTable) -> list[str]:
    """The features for which only a scan reads an opened table right; none for most tables."""
    features = SCANNED & set(table.protocol().reader_features or ())
    # A table of reader version 2 names no features; its property says whether the files know the columns otherwise.
    mapped = table.metadata().configuration.get(MAPPING_MODE, "none") != "none"
    return sorted(features | ({"columnMapping"} if mapped else set()))


def dataset_of(table: DeltaTable) -> Dataset:
    """The rows of an opened table as an Arrow dataset, whose files Arrow reads by itself.

    By default delta-rs gives Arrow a file system written in Python. Arrow's threads may still hold a file of it when
    the process ends, and then end it with SIGABRT and "terminate called without an active exception": code 134 after
    work that was well done (apache/arrow issue 45017; 21 of 240 short processes on a busy machine, now none).
    """
    from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

    parts = urlsplit(table.table_uri)
    if parts.scheme not in {"", "file"}:
        return table.to_pyarrow_dataset()
    return table.to_pyarrow_dataset(filesystem=SubTreeFileSystem(unquote(parts.path), LocalFileSystem()))


def scanned(
    table: DeltaTable, columns: Sequence[str] | None = None, where: Expression | None = None
) -> pa.RecordBatchReader:
    """The rows of an opened table by delta-rs' own scan, which knows column mapping and deletion vectors."""
    import pyarrow as pa
    from pyarrow.dataset import Scanner

    schema = plain(pa.schema(table.schema().to_arrow()))
    # The condition is Arrow's and may need any column, so Arrow applies it, and then leaves out the others.
    read = list(columns) if columns is not None and where is None else None
    found = pa.RecordBatchReader.from_stream(table.scan(columns=read))
    wanted = pa.schema([schema.field(name) for name in found.schema.names])
    typed = pa.RecordBatchReader.from_batches(wanted, (cast(batch, wanted) for batch in found))
    if where is None:
        return typed
    return Scanner.from_batches(typed, columns=None if columns is None else list(columns), filter=where).to_reader()


def cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch with the types of a schema."""
    import pyarrow as pa

    return pa.RecordBatch.from_arrays(
        [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)], schema=schema
    )
