"""What every step of a comparison works on: the sides, the columns, and the judge's own names for them.

In the judge's relations the key columns are ``k1, k2, ...`` in key order and the others ``v1, v2, ...``. So a user's
column may have any name, ``lsn`` or ``verdict`` as well, and never meets a column of the judge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from test_infra.cdc.types import field_sql, identifier, rule_for

if TYPE_CHECKING:
    from test_infra.cdc.judge.differences import DifferenceCollector
    from test_infra.cdc.judge.fold import LogFacts
    from test_infra.cdc.judge.sides import Sides
    from test_infra.cdc.lake.temporary_tables import TemporaryTables
    from test_infra.cdc.types.table import Column, TableSchema

_KEY = identifier("key")
MOST_CHARACTERS = 400
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class ComparedColumns:
    """The columns that both sides have.

    Args:
        columns: as the source describes them; all key columns are among them.
    """

    columns: tuple[Column, ...]

    @cached_property
    def own(self) -> tuple[Column, ...]:
        """The same columns under the judge's names."""
        numbers = iter(range(1, len(self.columns) + 1))
        return tuple(
            replace(column, name=f"v{next(numbers)}" if column.key_position is None else f"k{column.key_position}")
            for column in self.columns
        )

    @property
    def keys(self) -> list[str]:
        """The judge's names of the key columns, in key order."""
        keyed = [(column.key_position, column.name) for column in self.own if column.key_position is not None]
        return [name for _, name in sorted(keyed)]

    @property
    def values(self) -> list[tuple[Column, Column]]:
        """Each column that is compared in rows of one key, as the source has it and under the judge's name.

        A column of the key is among them where two values that a join takes for one are not the same: 0.0 and -0.0.
        """
        return [
            (column, own)
            for column, own in self._pairs()
            if column.key_position is None or rule_for(column).also_compared(own.name)
        ]

    def of_rows(self) -> str:
        """Select list from a row of a side to the judge's names."""
        return ", ".join(f"{identifier(column.name)} AS {own.name}" for column, own in self._pairs())

    def key_of_rows(self) -> str:
        """Select list from a row of a side to the judge's key."""
        return ", ".join(f"{identifier(column.name)} AS {own.name}" for column, own in self._keyed())

    def key_of_events(self) -> str:
        """Select list from an event's ``key`` to the judge's key."""
        return ", ".join(f"{field_sql(_KEY, column.name)} AS {own.name}" for column, own in self._keyed())

    def of_events(self) -> str:
        """Select list from an event that has the judge's key to a row under the judge's names."""
        return ", ".join(
            own.name if column.key_position is not None else f"{field_sql('after', column.name)} AS {own.name}"
            for column, own in self._pairs()
        )

    def _pairs(self) -> Iterable[tuple[Column, Column]]:
        return zip(self.columns, self.own, strict=True)

    def _keyed(self) -> list[tuple[Column, Column]]:
        keyed = [pair for pair in self._pairs() if pair[0].key_position is not None]
        return sorted(keyed, key=lambda pair: pair[0].key_position or 0)


@dataclass(frozen=True)
class Comparison:
    """One comparison of one table.

    Args:
        tables: makes the temporary tables of its steps.
        sides: what is compared.
        schema: the table as the source describes it at the cut.
        columns: those that both sides have.
        facts: of the change log.
        found: takes what differs.
    """

    tables: TemporaryTables
    sides: Sides
    schema: TableSchema
    columns: ComparedColumns
    facts: LogFacts
    found: DifferenceCollector

    @property
    def keys(self) -> str:
        """The key columns, for a select list or a join."""
        return ", ".join(self.columns.keys)

    @property
    def key_texts(self) -> str:
        """The key columns as text, for a select list."""
        return ", ".join(f"{key}::VARCHAR" for key in self.columns.keys)

    @property
    def source(self) -> str:
        """The source's rows under the judge's names."""
        return f"(SELECT {self.columns.of_rows()} FROM {self.sides.source})"

    @property
    def mirror(self) -> str:
        """The mirror's rows under the judge's names."""
        return f"(SELECT {self.columns.of_rows()} FROM {self.sides.mirror})"

    def first(self, query: str, most: int) -> list[tuple[Any, ...]]:
        """The first rows that a query gives."""
        return self.tables.connection.execute(f"{query} LIMIT {most}").fetchall()
