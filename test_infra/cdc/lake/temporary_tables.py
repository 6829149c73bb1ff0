"""Temporary DuckDB tables with names that nothing else in the connection has, dropped when the work is done."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Self

from test_infra.cdc.types import identifier

if TYPE_CHECKING:
    from types import TracebackType

    from duckdb import DuckDBPyConnection

_WORKS = count(1)


class TemporaryTables:
    """Makes the temporary tables of one piece of work and drops them all at its end.

    A name is unique in the process, so two pieces of work on one connection, or a user's table, never share one.

    Args:
        connection: holds the tables.
    """

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self.connection = connection
        self._work = next(_WORKS)
        self._made: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self._made:
            self.connection.execute(f"DROP TABLE IF EXISTS {name}")
        self._made.clear()

    def make(self, what: str, query: str) -> str:
        """Make a table of the rows of a query.

        Args:
            what: is part of the name, for people who read a query plan.
            query: SQL.

        Returns:
            The table's name, quoted, for use in SQL.
        """
        name = f"temp.{identifier(f'test_infra {self._work}.{len(self._made)} {what}')}"
        self._made.append(name)
        self.connection.execute(f"CREATE TEMP TABLE {name} AS {query}")
        return name

    def number(self, query: str) -> int:
        """The one number that a query gives."""
        return int(self.connection.execute(query).fetchall()[0][0])

    def rows(self, table: str) -> int:
        """How many rows a relation has."""
        return self.number(f"SELECT count(*) FROM {table}")
