"""The rows of one writer as its plan knows them, and what a change does to their children.

It does what the source does: foreign keys cascade, set NULL or refuse. Everything can be undone, because
transactions and savepoints are rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from test_infra.cdc.load.history import Kind
from test_infra.cdc.sources.constraints import Action

if TYPE_CHECKING:
    from test_infra.cdc.load.shape import Shape
    from test_infra.cdc.sources.constraints import ForeignKey

MOST_EFFECTS = 200
"""Rows that one statement may change through cascades; a larger one is not planned."""

KeyValues = tuple[object, ...]
Row = Mapping[str, object]


class Effect(NamedTuple):
    """One row that a statement changes, itself or through a cascade."""

    table: int
    kind: Kind
    key: KeyValues


class Refused(Exception):
    """The source would refuse the change."""


@dataclass(frozen=True)
class _Reference:
    """A foreign key between two tables of the load."""

    child: int
    parent: int
    key: ForeignKey


class Rows:
    """The rows of one writer: of each one the columns that keys, foreign keys and unique constraints read.

    Args:
        shapes: the tables.
    """

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self._shapes = shapes
        self._tables = [_Table() for _ in shapes]
        places = {(shape.schema.schema, shape.schema.name): place for place, shape in enumerate(shapes)}
        self.references = [
            _Reference(child, places[key.parent], key)
            for child, shape in enumerate(shapes)
            for key in shape.foreign_keys
            if key.parent in places
        ]
        for reference in self.references:
            self._tables[reference.child].index(reference.key.columns)
            self._tables[reference.parent].index(reference.key.parent_columns)
        for table, shape in zip(self._tables, shapes, strict=True):
            for unique in shape.uniques:
                table.index(unique.columns)
        self._journal: list[tuple[int, KeyValues, Row | None]] = []

    def count(self, table: int) -> int:
        """How many rows there are."""
        return len(self._tables[table].keys)

    def any(self, table: int, random: Random) -> KeyValues | None:
        """A random row's key."""
        keys = self._tables[table].keys
        return random.choice(keys) if keys else None

    def keys(self, table: int) -> Iterator[KeyValues]:
        """All keys, in no order."""
        return iter(self._tables[table].keys)

    def row(self, table: int, key: KeyValues) -> Row | None:
        """What is known of a row; None: there is none."""
        return self._tables[table].rows.get(key)

    def holding(self, table: int, columns: tuple[str, ...], values: KeyValues) -> list[KeyValues]:
        """Keys of the rows with these values in columns of a unique constraint or a foreign key."""
        return list(self._tables[table].indexes[columns].get(values, ()))

    def parents(self, table: int, columns: tuple[str, ...]) -> list[KeyValues]:
        """The values that rows hold in referenced columns."""
        return list(self._tables[table].indexes[columns])

    def mark(self) -> int:
        """A place to undo to."""
        return len(self._journal)

    def undo(self, mark: int) -> None:
        """Take back every change since a place."""
        while len(self._journal) > mark:
            table, key, before = self._journal.pop()
            self._tables[table].put(key, before)

    def settle(self) -> None:
        """What was changed is committed and stays."""
        self._journal.clear()

    def forget(self, table: int, key: KeyValues) -> None:
        """A row of which nobody knows what became of it."""
        self._tables[table].put(key, None)

    def insert(self, table: int, key: KeyValues, row: Row) -> list[Effect]:
        """Add a row."""
        if self.row(table, key) is not None:
            raise Refused("primary key")
        self._put(table, key, row)
        return [Effect(table, Kind.INSERT, key)]

    def delete(self, table: int, key: KeyValues) -> list[Effect]:
        """Remove a row, with what its foreign keys do to others.

        Raises:
            Refused: a child keeps it, or the cascade is too large. Undo to a mark then.
        """
        effects: list[Effect] = []
        self._delete(table, key, effects)
        return effects

    def update(self, table: int, key: KeyValues, changes: Row) -> list[Effect]:
        """Change a row, its key included, with what its foreign keys do to others.

        Raises:
            Refused: a child keeps the old values, or the cascade is too large. Undo to a mark then.
        """
        effects: list[Effect] = []
        self._update(table, key, changes, effects)
        return effects

    def _delete(self, table: int, key: KeyValues, effects: list[Effect]) -> None:
        row = self.row(table, key)
        if row is None:
            return
        self._put(table, key, None)
        self._note(effects, Effect(table, Kind.DELETE, key))
        for reference in self._references_to(table):
            for child in self._children(reference, row):
                match reference.key.on_delete:
                    case Action.CASCADE:
                        self._delete(reference.child, child, effects)
                    case Action.SET_NULL:
                        columns = reference.key.set_columns or reference.key.columns
                        self._set(reference, child, dict.fromkeys(columns), effects)
                    case _:
                        raise Refused(reference.key.name)

    def _update(self, table: int, key: KeyValues, changes: Row, effects: list[Effect]) -> None:
        before = self.row(table, key)
        if before is None:
            raise Refused("no such row")
        names = self._shapes[table].kept
        after = {**before, **{name: value for name, value in changes.items() if name in names}}
        new_key = tuple(after[name] for name in self._shapes[table].schema.key_names)
        if new_key == key:
            self._put(table, key, after)
            self._note(effects, Effect(table, Kind.UPDATE, key))
        else:
            if self.row(table, new_key) is not None:
                raise Refused("primary key")
            self._put(table, key, None)
            self._put(table, new_key, after)
            self._note(effects, Effect(table, Kind.DELETE, key))
            self._note(effects, Effect(table, Kind.INSERT, new_key))
        for reference in self._references_to(table):
            columns = reference.key.parent_columns
            if all(before[name] == after[name] for name in columns):
                continue
            for child in self._children(reference, before):
                match reference.key.on_update:
                    case Action.CASCADE:
                        moved = dict(zip(reference.key.columns, (after[name] for name in columns), strict=True))
                        self._update(reference.child, child, moved, effects)
                    case Action.SET_NULL:
                        self._set(reference, child, dict.fromkeys(reference.key.columns), effects)
                    case _:
                        raise Refused(reference.key.name)

    def _set(self, reference: _Reference, child: KeyValues, changes: Row, effects: list[Effect]) -> None:
        shape = self._shapes[reference.child]
        if not shape.takes_null.issuperset(changes):
            raise Refused(reference.key.name)
        self._update(reference.child, child, changes, effects)

    def _references_to(self, table: int) -> Iterator[_Reference]:
        # Cascades first: a row that one path deletes may be kept by another one otherwise.
        of_table = [reference for reference in self.references if reference.parent == table]
        return iter(sorted(of_table, key=lambda reference: reference.key.on_delete is not Action.CASCADE))

    def _children(self, reference: _Reference, row: Row) -> list[KeyValues]:
        values = tuple(row[name] for name in reference.key.parent_columns)
        return self.holding(reference.child, reference.key.columns, values)

    def _note(self, effects: list[Effect], effect: Effect) -> None:
        effects.append(effect)
        if len(effects) > MOST_EFFECTS:
            raise Refused("too many rows at once")

    def _put(self, table: int, key: KeyValues, row: Row | None) -> None:
        self._journal.append((table, key, self.row(table, key)))
        self._tables[table].put(key, row)


class _Table:
    """Rows by key, of which a random one is found at once, and by the values of some columns."""

    def __init__(self) -> None:
        self.rows: dict[KeyValues, Row] = {}
        self.keys: list[KeyValues] = []
        self._places: dict[KeyValues, int] = {}
        self.indexes: dict[tuple[str, ...], dict[KeyValues, dict[KeyValues, None]]] = {}

    def index(self, columns: tuple[str, ...]) -> None:
        self.indexes.setdefault(columns, {})

    def put(self, key: KeyValues, row: Row | None) -> None:
        before = self.rows.pop(key, None)
        if before is not None:
            for values, index in self._indexed(before):
                del index[values][key]
                if not index[values]:
                    del index[values]
        if row is not None:
            self.rows[key] = row
            for values, index in self._indexed(row):
                index.setdefault(values, {})[key] = None
        if row is not None and before is None:
            self._places[key] = len(self.keys)
            self.keys.append(key)
        elif row is None and before is not None:
            place, last = self._places.pop(key), self.keys.pop()
            if last != key:
                self.keys[place] = last
                self._places[last] = place

    def _indexed(self, row: Row) -> Iterator[tuple[KeyValues, dict[KeyValues, dict[KeyValues, None]]]]:
        for columns, index in self.indexes.items():
            values = tuple(row.get(name) for name in columns)
            if None not in values:
                yield values, index
