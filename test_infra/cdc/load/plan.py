"""Which transactions a writer runs: a pure function of the seed, as long as they end as planned."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from test_infra.cdc.load.history import Kind
from test_infra.cdc.load.values import key_maker, maker

if TYPE_CHECKING:
    from test_infra.cdc.types.table import TableSchema

SIZES = (1, 1, 1, 2, 3, 5, 8, 13, 21)
ROLLED_BACK_SHARE = 0.05
SAVEPOINT_SHARE = 0.08
LINES_PER_PARENT = 10
MOST_LIVE_KEYS = 4_096

KeyValues = tuple[object, ...]


@dataclass(frozen=True)
class Planned:
    """One operation to run.

    Args:
        table: place of its table among the schemas.
        kind: what it does.
        key: values of the key columns.
        values: column -> value: all columns of an insert, the changed ones of an update, none of a delete.
        undone: runs behind a savepoint that is rolled back.
    """

    table: int
    kind: Kind
    key: KeyValues
    values: dict[str, object]
    undone: bool = False


@dataclass(frozen=True)
class Transaction:
    """Operations of one transaction; ``commits`` is how it is meant to end."""

    operations: tuple[Planned, ...]
    commits: bool


class Planner:
    """The transactions of one writer, on keys that no other writer touches.

    Args:
        schemas: tables to write.
        seed: same seed, same transactions.
        writer: number of this writer, from 0.
        writers: how many there are.
        first_key: numbers of keys from here on are free.
        adopted_keys: numbers below are rows of each table that are there already.
    """

    def __init__(
        self,
        schemas: list[TableSchema],
        *,
        seed: int,
        writer: int,
        writers: int,
        first_key: int,
        adopted_keys: int = 0,
    ) -> None:
        self._random = Random(f"{seed}/{writer}/{writers}/{first_key}")  # noqa: S311 - a workload, no secret
        self._tables = [Table(schema, range(first_key + writer, sys.maxsize, writers)) for schema in schemas]
        for table in self._tables:
            for number in range(writer, adopted_keys, writers):
                table.live.add(table.key(number))

    def next(self, most_operations: int) -> Transaction:
        """The next transaction, of at most so many operations. Tell `ended` how it ended before the one after."""
        random = self._random
        size = min(random.choice(SIZES), most_operations)
        commits = random.random() >= ROLLED_BACK_SHARE
        undone_from = random.randrange(size) if size > 1 and random.random() < SAVEPOINT_SHARE else size
        planned: list[Planned] = []
        while len(planned) < size:
            number, undone = random.randrange(len(self._tables)), len(planned) >= undone_from
            room = (size if undone else undone_from) - len(planned)
            for kind, key, values in self._tables[number].operations(random, room, undone=undone):
                planned.append(Planned(number, kind, key, values, undone))
        return Transaction(tuple(planned), commits)

    def ended(self, transaction: Transaction, *, committed: bool | None) -> None:
        """Note which keys live. Keys of a transaction with an unknown end (None) are not used again."""
        for table in {operation.table for operation in transaction.operations}:
            self._tables[table].note_end(committed)


class _Keys:
    """A set of keys of which a random one is found at once."""

    def __init__(self) -> None:
        self._keys: list[KeyValues] = []
        self._places: dict[KeyValues, int] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def any(self, random: Random) -> KeyValues | None:
        return random.choice(self._keys) if self._keys else None

    def add(self, key: KeyValues) -> None:
        self._places[key] = len(self._keys)
        self._keys.append(key)

    def discard(self, key: KeyValues) -> None:
        place = self._places.pop(key, None)
        if place is None:
            return
        last = self._keys.pop()
        if last != key:
            self._keys[place] = last
            self._places[last] = place


class Table:
    """The keys of one table that one writer may use, and what the running transaction does to them."""

    def __init__(self, schema: TableSchema, numbers: range) -> None:
        self._key_makers = [key_maker(column) for column in schema.key]
        self._makers = {column.name: maker(column) for column in schema.columns if column.key_position is None}
        self._key_names = schema.key_names
        self._numbers = iter(numbers)
        self.live = _Keys()
        self._touched: set[KeyValues] = set()
        self._blocked: set[KeyValues] = set()
        self._born: list[KeyValues] = []
        self._gone: set[KeyValues] = set()

    def key(self, number: int) -> KeyValues:
        """The key with this number."""
        if len(self._key_makers) == 1:
            return (self._key_makers[0](number),)
        # A composite key has few values in its last column and counts in its first.
        parent, line = divmod(number, LINES_PER_PARENT)
        first, *between, last = self._key_makers
        return (first(parent), *(make(0) for make in between), last(line + 1))

    def row(self, random: Random, key: KeyValues) -> dict[str, object]:
        """All columns of a new row."""
        return dict(zip(self._key_names, key, strict=True)) | self._values(random, self._makers)

    def operations(
        self, random: Random, room: int, *, undone: bool
    ) -> Iterator[tuple[Kind, KeyValues, dict[str, object]]]:
        """One operation, or two of one key where there is room."""
        key, choice = self._free_key(random), random.random()
        if key is None or (choice < 0.45 and len(self.live) < MOST_LIVE_KEYS) or not self._makers:
            key = self.key(next(self._numbers))
            self._touched.add(key)
            if not undone:
                self._born.append(key)
            yield Kind.INSERT, key, self.row(random, key)
            # A row that is changed by the transaction that made it.
            if choice < 0.04 and room > 1 and self._makers:
                yield Kind.UPDATE, key, self._changes(random)
            return
        self._touched.add(key)
        if undone:
            self._blocked.add(key)
        if choice < 0.85:
            yield Kind.UPDATE, key, self._changes(random)
        elif choice < 0.93 and room > 1:
            yield Kind.DELETE, key, {}
            yield Kind.INSERT, key, self.row(random, key)
        else:
            self._blocked.add(key)
            if not undone:
                self._gone.add(key)
            yield Kind.DELETE, key, {}

    def note_end(self, committed: bool | None) -> None:
        """Note which keys live after the transaction."""
        if committed:
            for key in self._gone:
                self.live.discard(key)
            for key in self._born:
                self.live.add(key)
        elif committed is None:
            for key in self._touched:
                self.live.discard(key)
        self._touched, self._blocked, self._born, self._gone = set(), set(), [], set()

    def _free_key(self, random: Random) -> KeyValues | None:
        """A living key that this transaction has neither deleted nor touched behind a savepoint."""
        key = self.live.any(random)
        return None if key in self._blocked else key

    def _changes(self, random: Random) -> dict[str, object]:
        names = list(self._makers)
        return self._values(random, names if random.random() < 0.3 else [random.choice(names)])

    def _values(self, random: Random, names: Iterable[str]) -> dict[str, object]:
        return {name: self._makers[name](random) for name in names}
