"""What a load finds when it begins: rows that are its own, numbers that are free, rows that others' keys point to."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.paths import write_private
from test_infra.cdc.load import history
from test_infra.cdc.load.history import Key, Kind, OperationOutcome, written
from test_infra.cdc.load.keys import Free, Numbers, counting, key_makers
from test_infra.cdc.load.plan import MOST_LIVE_KEYS
from test_infra.cdc.load.rows import KeyValues, Row, Rows
from test_infra.cdc.load.values import BITS, kind_of

if TYPE_CHECKING:
    import psycopg

    from test_infra.cdc.load.shape import Shape

KEYS_AT_ONCE = 500
MOST_PARENTS = 1_000
FEW = 1_000
NUMBERS_AT_ONCE = 1_000
KILLED_MEANWHILE = 10_000
"""Numbers that a killed load may have used without writing them down."""

OwnRow = tuple[int, KeyValues, Row]
"""Table, key, what is remembered of the row."""


@dataclass(frozen=True)
class Beginning:
    """What is there before the first operation.

    Args:
        first: of each table, the first number that is free.
        rows: of each writer, the rows that are its own.
        outside: foreign key -> values that it may point to; see `Numbers`.
    """

    first: tuple[int, ...]
    rows: tuple[tuple[OwnRow, ...], ...]
    outside: Mapping[str, Sequence[KeyValues]]

    def numbers(
        self, shapes: Sequence[Shape], writer: int, session: Callable[[], AbstractContextManager[psycopg.Connection]]
    ) -> Numbers:
        """What one writer may use."""
        writers = len(self.rows)
        once = {
            f"{shape.schema.qualified}.{key.name}"
            for shape in shapes
            for key in shape.foreign_keys
            if set(key.columns) & {*shape.schema.key_names, *(name for one in shape.uniques for name in one.columns)}
        }
        return Numbers(
            plain=[Free(first + writer, writers) for first in self.first],
            sequences={
                table: sequence_numbers(session, next(iter(shape.sequences.values())))
                for table, shape in enumerate(shapes)
                if shape.sequences
            },
            # What only one row may point to is pointed to by one writer.
            outside={name: found[writer::writers] if name in once else found for name, found in self.outside.items()},
        )


def beginning(connection: psycopg.Connection, shapes: Sequence[Shape], path: Path, *, writers: int) -> Beginning:
    """Look at the tables and at the history.

    Args:
        connection: of the owner, in autocommit.
        shapes: the tables.
        path: of the history.
        writers: among whom the rows are shared out; rows that point to each other stay together.
    """
    used = _used_numbers(path)
    for shape in shapes:
        _forward_sequences(connection, shape)
    return Beginning(
        tuple(max(used.get(shape.schema.qualified, 0), _free_number(connection, shape)) for shape in shapes),
        _shared_out(shapes, _own_rows(connection, shapes, path), writers),
        _outside(connection, shapes),
    )


def note_used(path: Path, shapes: Sequence[Shape], writers: Sequence[Numbers], *, ended: bool) -> None:
    """Write down which numbers are used, beside the history; of a load that is killed, some more may be.

    Args:
        path: of the history.
        shapes: the tables.
        writers: what each one took numbers from.
        ended: no more are taken.
    """
    more = 0 if ended else KILLED_MEANWHILE
    used = {
        shape.schema.qualified: max(numbers.plain[table].upcoming for numbers in writers) + more
        for table, shape in enumerate(shapes)
    }
    write_private(_numbers_path(path), json.dumps(used))


def _used_numbers(path: Path) -> dict[str, int]:
    try:
        found: dict[str, int] = json.loads(_numbers_path(path).read_bytes())
    except FileNotFoundError:
        return {}
    return found


def _numbers_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.numbers")


def sequence_numbers(session: Callable[[], AbstractContextManager[psycopg.Connection]], sequence: str) -> Iterator[int]:
    """Numbers of a sequence, until it has no more."""
    import psycopg

    at_once = NUMBERS_AT_ONCE
    while at_once:
        with session() as connection:
            try:
                query = "SELECT nextval(%s::regclass) FROM generate_series(1, %s)"
                found = connection.execute(query, [sequence, at_once]).fetchall()
            except psycopg.errors.SequenceGeneratorLimitExceeded:
                at_once //= 2
                continue
        yield from (number for (number,) in found)


def _forward_sequences(connection: psycopg.Connection, shape: Shape) -> None:
    """Rows that came with their numbers have left the sequence of their key behind."""
    from psycopg.sql import SQL, Identifier

    for column, sequence in shape.sequences.items():
        connection.execute(
            SQL(
                "SELECT setval(%s::regclass, most) FROM (SELECT max({column})::bigint AS most FROM {table}) there "
                "WHERE most >= (SELECT coalesce(pg_sequence_last_value(%s::regclass), 0))"
            ).format(column=Identifier(column), table=Identifier(shape.schema.schema, shape.schema.name)),
            [sequence, sequence],
        )


def _free_number(connection: psycopg.Connection, shape: Shape) -> int:
    """The first number that gives neither a key nor a unique value that is there."""
    from psycopg.sql import SQL, Identifier

    own = [name for name in shape.schema.key_names if name not in shape.pointing]
    makers = key_makers(shape)
    counted = []
    if own and not shape.sequences and not set(shape.schema.key_names) & shape.pointing:
        way = counting(shape, makers, own)
        counted.append((way.counter, makers[way.counter], way.lines))
    counted += [(name, maker, 1) for name, maker in shape.counted.items()]
    free = 0
    for name, maker, factor in counted:
        if kind_of(shape.columns[name])[0] not in BITS or not isinstance(lowest := maker(0), int):
            continue
        query = SQL("SELECT max({}) FROM {}").format(
            Identifier(name), Identifier(shape.schema.schema, shape.schema.name)
        )
        row = connection.execute(query).fetchone()
        if row is not None and row[0] is not None:
            free = max(free, (row[0] - lowest + 1) * factor)
    return free


def _own_rows(connection: psycopg.Connection, shapes: Sequence[Shape], path: Path) -> list[OwnRow]:
    """The rows that the history says are there, as they are now."""
    last: defaultdict[str, dict[Key, bool]] = defaultdict(dict)
    for operation in history.read(path):
        if operation.outcome is not OperationOutcome.FAILED:
            certain = operation.outcome is OperationOutcome.OK
            last[operation.table][operation.key] = certain and operation.kind in (Kind.INSERT, Kind.UPDATE)
    found: list[OwnRow] = []
    for table, shape in enumerate(shapes):
        if "bytea" in (column.type for column in shape.schema.key):
            continue
        keys = [key for key, there in last[shape.schema.label].items() if there][-MOST_LIVE_KEYS:]
        for at in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[at : at + KEYS_AT_ONCE]
            found += [(table, key, row) for key, row in _rows_with(connection, shape, some)]
    return found


def _rows_with(
    connection: psycopg.Connection, shape: Shape, keys: Sequence[Key]
) -> Iterator[tuple[KeyValues, dict[str, object]]]:
    from psycopg.sql import SQL, Identifier, Placeholder

    names = sorted(shape.kept)
    one = SQL("({})").format(SQL(", ").join([Placeholder()] * len(shape.schema.key_names)))
    query = SQL("SELECT {} FROM {} WHERE ({}) IN ({})").format(
        SQL(", ").join(map(Identifier, names)),
        Identifier(shape.schema.schema, shape.schema.name),
        SQL(", ").join(map(Identifier, shape.schema.key_names)),
        SQL(", ").join([one] * len(keys)),
    )
    for values in connection.execute(query, [value for key in keys for value in key]).fetchall():
        row = dict(zip(names, values, strict=True))
        yield tuple(row[name] for name in shape.schema.key_names), row


def _shared_out(shapes: Sequence[Shape], own: Sequence[OwnRow], writers: int) -> tuple[tuple[OwnRow, ...], ...]:
    """The rows of each writer: those that point to each other have one writer."""
    rows = Rows(shapes)
    for table, key, row in own:
        rows.insert(table, key, row)
    leader: dict[tuple[int, KeyValues], tuple[int, KeyValues]] = {}

    def first_of(one: tuple[int, KeyValues]) -> tuple[int, KeyValues]:
        while (above := leader.get(one, one)) != one:
            leader[one] = leader.get(above, above)
            one = above
        return one

    for table, key, row in own:
        for reference in rows.references:
            if reference.child != table:
                continue
            values = tuple(row[name] for name in reference.key.columns)
            for parent in rows.holding(reference.parent, reference.key.parent_columns, values):
                leader[first_of((table, key))] = first_of((reference.parent, parent))
    of_group = {
        first_of((table, key)): numbers[key[0]] % writers
        for table, shape in enumerate(shapes)
        if (numbers := _few_keys(shape))
        for key in rows.keys(table)
        if key[0] in numbers
    }
    shared: list[list[OwnRow]] = [[] for _ in range(writers)]
    for table, key, row in own:
        shared[of_group.setdefault(first_of((table, key)), len(of_group) % writers)].append((table, key, row))
    return tuple(map(tuple, shared))


def _few_keys(shape: Shape) -> dict[object, int]:
    """Value -> number of a key that has few values: those of one writer are its own, also when they come back."""
    if len(shape.schema.key_names) > 1 or shape.sequences or shape.schema.key_names[0] in shape.pointing:
        return {}
    maker = key_makers(shape)[shape.schema.key_names[0]]
    return {maker(number): number for number in range(maker.capacity)} if maker.capacity <= FEW else {}


def _outside(connection: psycopg.Connection, shapes: Sequence[Shape]) -> dict[str, list[KeyValues]]:
    """Values of foreign keys to tables that the load does not write: rows that are there."""
    from psycopg.sql import SQL, Identifier, Literal

    written_tables = {(shape.schema.schema, shape.schema.name) for shape in shapes}
    found = {}
    for shape in shapes:
        for key in shape.foreign_keys:
            if key.parent not in written_tables:
                query = SQL("SELECT {} FROM {} LIMIT {}").format(
                    SQL(", ").join(map(Identifier, key.parent_columns)), Identifier(*key.parent), Literal(MOST_PARENTS)
                )
                rows = [tuple(row) for row in connection.execute(query).fetchall()]
                found[f"{shape.schema.qualified}.{key.name}"] = sorted(
                    rows, key=lambda row: str(list(map(written, row)))
                )
    return found
