"""A table whose DDL is followed, without a service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from test_infra.cdc.sources.errors import SourceUnreachable
from test_infra.cdc.types.generation import Generation
from test_infra.cdc.types.table import Column, TableSchema
from test_infra_tests.unit.cdc.one_table import OneTable

ID = Column("id", "integer", nullable=False, key_position=1)
V = Column("v", "integer")
N = Column("n", "integer")


def generation(*columns: tuple[int, Column], **filled: str) -> Generation:
    table = TableSchema("public", "t", tuple(column for _, column in columns))
    return Generation(
        table=table, identity="1", numbers={column.name: number for number, column in columns}, filled=filled
    )


BEGIN = generation((1, ID), (2, V))
ADDED = generation((1, ID), (2, V), (3, N))
FILLED = generation((1, ID), (2, V), (3, N), n="'7'")
DROPPED = generation((1, ID))
RENAMED = generation((1, ID), (2, Column("w", "integer")))
WIDENED = generation((1, Column("id", "bigint", nullable=False, key_position=1)), (2, Column("v", "bigint")))


@dataclass
class Catalogue:
    """What the source's catalogue says."""

    now: Generation = BEGIN
    away: bool = False

    def generations(self) -> dict[str, Generation]:
        return {"t": self.now}

    def fingerprint(self) -> str:
        if self.away:
            raise SourceUnreachable("the source is away")
        return self.now.model_dump_json()


class Changing(OneTable):
    """One table whose DDL is followed."""

    def __init__(self, folder: Path, begin: Generation = BEGIN, now: Generation | None = None) -> None:
        self.catalogue = Catalogue(now or begin)
        super().__init__(folder, begin.table, follow=self.catalogue)

    def alter(self, now: Generation) -> None:
        """DDL in the source; nobody is told."""
        self.catalogue.now = now
        self.schema = now.table

    def look(self) -> None:
        """What the stream does now and then."""
        self._applier.follow()

    def source(self, *rows: dict[str, Any]) -> pa.Table:
        types = {"integer": pa.int32(), "bigint": pa.int64(), "text": pa.string(), "smallint": pa.int16()}
        return pa.Table.from_pylist(
            list(rows), schema=pa.schema([(column.name, types[column.type]) for column in self.schema.columns])
        )
