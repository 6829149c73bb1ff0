"""Rows that are there before the connector: the initial snapshot reads them."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from test_infra.base.errors import InfrastructureError
from test_infra.cdc.load.execute import Executor
from test_infra.cdc.load.history import History, Kind, Phase
from test_infra.cdc.load.plan import Planned, Table, Transaction

if TYPE_CHECKING:
    import psycopg

    from test_infra.cdc.types.table import TableSchema

ROWS_PER_TRANSACTION = 100


def seed_rows(
    connection: psycopg.Connection, schemas: list[TableSchema], *, rows: int, seed: int, history: Path
) -> int:
    """Insert rows into each table that is empty; returns how many. They have the key numbers below ``rows``.

    Raises:
        InfrastructureError: the source refused them.
    """
    empty = [number for number, schema in enumerate(schemas) if rows and _is_empty(connection, schema)]
    if not empty:
        return 0
    written = History(history)
    try:
        executor = Executor(schemas, written, Phase.SEED)
        for number in empty:
            table = Table(schemas[number], range(0))
            random = Random(f"{seed}/{schemas[number].qualified}")  # noqa: S311 - a workload, no secret
            for first in range(0, rows, ROWS_PER_TRANSACTION):
                keys = [table.key(place) for place in range(first, min(rows, first + ROWS_PER_TRANSACTION))]
                inserts = tuple(Planned(number, Kind.INSERT, key, table.row(random, key)) for key in keys)
                if not executor.run(connection, Transaction(inserts, commits=True)):
                    raise InfrastructureError(
                        f"the first rows of {schemas[number].qualified} were refused",
                        hint="set `load: rows_before: 0`, or `load: null` when the table takes no random values",
                    )
    finally:
        written.close()
    return rows * len(empty)


def _is_empty(connection: psycopg.Connection, schema: TableSchema) -> bool:
    from psycopg.sql import SQL, Identifier

    query = SQL("SELECT EXISTS (SELECT FROM {})").format(Identifier(schema.schema, schema.name))
    return connection.execute(query).fetchone() == (False,)
