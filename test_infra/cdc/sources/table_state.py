"""What a captured table is, as its source's catalogue has it, and which DDL lies between two such states."""

from __future__ import annotations

from collections.abc import Iterator

from test_infra.base.document import Document


class ColumnState(Document):
    """One column.

    Args:
        number: of the column in its table; a renamed column keeps it, a new one gets another.
        name: of the column.
        type: as the source writes it.
        labels: of an enum, in order.
        filled: whether rows from before the column have a default that no event brought.
        generated: whether it is computed from the others; such a column is not captured.
    """

    number: int
    name: str
    type: str
    labels: tuple[str, ...] = ()
    filled: bool = False
    generated: bool = False


class TableState(Document):
    """One table.

    Args:
        name: qualified.
        identity: stays when the table is renamed or moved.
        storage: changes when the rows are written anew.
        columns: in order.
        key: names of the key's columns.
        partitions: of a partitioned table, with those below them.
    """

    name: str
    identity: str
    storage: str
    columns: tuple[ColumnState, ...]
    key: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()


class TableStates(Document):
    """The tables of a pipeline, by label."""

    tables: dict[str, TableState]


def ddl_between(before: TableState, now: TableState | None) -> list[str]:
    """What DDL did to a table, one sentence each; empty when nothing.

    Args:
        before: the table when the pipeline was prepared.
        now: the table with the same identity now, or the one of that name; None when there is neither.
    """
    if now is None:
        return [f"table {before.name} was dropped"]
    if now.identity != before.identity:
        return [f"table {before.name} was dropped and made again"]
    found = [*_renamed(before, now), *_columns(before, now), *_partitions(before, now)]
    if now.key != _as_renamed(before, now):
        found.append(f"the key is ({', '.join(now.key)}), and was ({', '.join(before.key)})")
    if not found and now.storage != before.storage:
        found.append("its rows were written anew, by ALTER COLUMN ... TYPE ... USING, TRUNCATE, VACUUM FULL or CLUSTER")
    return found


def is_of_another_shape(before: TableState, now: TableState | None) -> bool:
    """Whether rows of now and before cannot be compared column by column: columns, types, key or table differ."""
    if now is None or now.identity != before.identity or now.name != before.name or now.key != before.key:
        return True
    return [(column.name, column.type) for column in now.columns] != [
        (column.name, column.type) for column in before.columns
    ]


def _renamed(before: TableState, now: TableState) -> Iterator[str]:
    if now.name != before.name:
        yield f"table {before.name} is {now.name} now"


def _columns(before: TableState, now: TableState) -> Iterator[str]:
    then, there = ({column.number: column for column in state.columns} for state in (before, now))
    for number, column in there.items():
        if number not in then:
            filled = ", and old rows got its default without an event" if column.filled else ""
            yield f"column {column.name} {column.type} was added{filled}"
            continue
        old = then[number]
        if old.name != column.name:
            yield f"column {old.name} is {column.name} now"
        if old.generated and not column.generated:
            yield f"column {column.name} is an ordinary one now and was generated, and the connector leaves it out"
        if old.type != column.type:
            yield f"column {column.name} is {column.type} and was {old.type}; values may have changed without an event"
        elif gone := [label for label in old.labels if label not in column.labels]:
            new = [label for label in column.labels if label not in old.labels]
            labels = f"{', '.join(map(repr, gone))} -> {', '.join(map(repr, new)) or 'nothing'}"
            yield f"labels of the enum {column.type} were renamed ({labels}), without an event for rows that have them"
    for number, old in then.items():
        if number not in there:
            yield f"column {old.name} was dropped"


def _partitions(before: TableState, now: TableState) -> Iterator[str]:
    if attached := [name for name in now.partitions if name not in before.partitions]:
        yield f"partition {', '.join(attached)} was attached or made; rows that it had bring no event"
    if detached := [name for name in before.partitions if name not in now.partitions]:
        yield f"partition {', '.join(detached)} was detached or dropped; its rows leave without an event"


def _as_renamed(before: TableState, now: TableState) -> tuple[str, ...]:
    """The key of before by the names of now."""
    names = {column.number: column.name for column in now.columns}
    renamed = {column.name: names.get(column.number, column.name) for column in before.columns}
    return tuple(renamed.get(name, name) for name in before.key)
