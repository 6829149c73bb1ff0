"""Which tables a pipeline captures, and that they are told apart on their way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from test_infra.base.errors import UsageError
from test_infra.cdc.pipeline.names import debezium_topic
from test_infra.cdc.types.table_id import CapturedTable, TableId
from test_infra.cdc.types.table_pattern import TablePattern


@dataclass(frozen=True)
class Entry:
    """One line under ``tables:``.

    Args:
        selects: the table, or a pattern for several.
        excluded: columns that are left out.
        where: condition for the rows that are captured; empty: all rows.
    """

    selects: TableId | TablePattern
    excluded: tuple[str, ...] = ()
    where: str = ""

    @property
    def label(self) -> str:
        """By which assets and gates of this line are known."""
        return self.selects.label


def resolve(
    entries: Sequence[Entry], exclude: Sequence[TableId | TablePattern], available: Iterable[TableId]
) -> dict[str, tuple[CapturedTable, ...]]:
    """Label of an entry -> the tables that it means; empty for a pattern that nothing matches.

    A table that is named is not among those of a pattern, and one that two patterns match is the first one's.

    Args:
        entries: what is captured.
        exclude: what no pattern means.
        available: the tables of the source.
    """
    taken = {entry.selects for entry in entries if isinstance(entry.selects, TableId)}
    candidates = sorted(available, key=lambda table: (table.schema, table.name))
    resolved = {}
    for entry in entries:
        if isinstance(entry.selects, TableId):
            meant = [entry.selects]
        else:
            free = (table for table in candidates if table not in taken and not _in(table, exclude))
            meant = [table for table in free if entry.selects.matches(table)]
            taken.update(meant)
        resolved[entry.label] = tuple(CapturedTable(table, entry.excluded, entry.where) for table in meant)
    return resolved


def refuse_unmatched(resolved: Mapping[str, Sequence[CapturedTable]], available: Iterable[TableId]) -> None:
    """Refuse patterns that mean no table.

    Raises:
        UsageError: names them and the tables that there are.
    """
    if unmatched := [label for label, tables in resolved.items() if not tables]:
        raise UsageError(
            f"no table matches {', '.join(unmatched)}",
            details={"tables of the source": ", ".join(sorted(table.qualified for table in available)) or "none"},
            hint="upper and lower case count; a pattern without a schema means source.schema_name",
        )


def refuse_clashes(tables: Iterable[TableId]) -> None:
    """Refuse a table that is given twice, and two tables whose changes would lie in one topic.

    Debezium writes an underscore for what Kafka does not take, and Kafka refuses a topic that differs from another one
    only by dots and underscores.

    Raises:
        UsageError: names both.
    """
    of_topic: dict[str, TableId] = {}
    for table in tables:
        topic = debezium_topic(table.schema, table.name)
        other = of_topic.setdefault(topic.replace(".", "_"), table)
        if other is table:
            continue
        if other == table:
            raise UsageError(f"table {table.qualified} is captured twice", hint="name it once under `tables:`")
        raise UsageError(
            f"tables {other.qualified} and {table.qualified} would share a topic: both end in {topic!r}, once what "
            "Kafka does not take is an underscore, and Kafka takes . and _ for the same",
            hint="rename one of them, or capture it by a pipeline of its own",
        )


def refuse_excluded(named: Iterable[TableId], exclude: Sequence[TableId | TablePattern]) -> None:
    """Refuse tables that are both named and excluded.

    Raises:
        UsageError: names the first.
    """
    if both := [table for table in named if _in(table, exclude)]:
        raise UsageError(f"table {both[0].qualified} is both under `tables:` and under `exclude:`")


def _in(table: TableId, selections: Iterable[TableId | TablePattern]) -> bool:
    return any(
        selection == table if isinstance(selection, TableId) else selection.matches(table) for selection in selections
    )
