"""Opens tables of the lake from where they lie. The one place that knows which formats there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.errors import InfrastructureError
from test_infra.cdc.lake.delta import DeltaLakeTable
from test_infra.cdc.lake.location import Location
from test_infra.cdc.lake.schemas import plain
from test_infra.cdc.lake.table import LakeTable, TableMissing

if TYPE_CHECKING:
    import pyarrow as pa

    from test_infra.cdc.lake.versions import Applied


def open_table(where: Location | Path | str, version: int | None = None) -> LakeTable:
    """The table at a location, at a version or at its newest.

    Raises:
        TableMissing: there is none.
    """
    location = Location.of(where)
    if not DeltaLakeTable.exists(location):
        raise TableMissing(location)
    return DeltaLakeTable(location, version)


def generation_at(where: Location | Path | str) -> int:
    """Generation of the columns of the table at a location; 0 where there is none."""
    location = Location.of(where)
    return DeltaLakeTable(location).generation() if DeltaLakeTable.exists(location) else 0


def create_table(where: Location | Path | str, schema: pa.Schema, applied: Applied) -> LakeTable:
    """The table at a location; made first when there is none, its first version saying what it contains.

    Raises:
        InfrastructureError: a table is there with other columns.
    """
    location = Location.of(where)
    if not DeltaLakeTable.exists(location):
        return DeltaLakeTable.create(location, schema, applied)
    table = DeltaLakeTable(location)
    if table.schema() != plain(schema):
        raise InfrastructureError(
            f"the Delta table in {location} has other columns than the source",
            details={"found": ", ".join(table.schema().names), "expected": ", ".join(schema.names)},
            hint="start the pipeline on an empty lake: test-infra down, then up",
        )
    return table
