"""Which transactions a writer runs: a pure function of the seed, as long as they end as planned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from test_infra.cdc.load.birth import Birth, NoRow
from test_infra.cdc.load.history import Kind
from test_infra.cdc.load.keys import Numbers
from test_infra.cdc.load.rows import Effect, KeyValues, Refused, Row, Rows
from test_infra.cdc.load.shape import Shape

SIZES = (1, 1, 1, 2, 3, 5, 8, 13, 21)
ROLLED_BACK_SHARE = 0.05
SAVEPOINT_SHARE = 0.08
KEY_CHANGE_SHARE = 0.02
MOST_LIVE_KEYS = 4_096
TRIES = 40


@dataclass(frozen=True)
class Planned:
    """One statement to run.

    Args:
        table: place of its table among the shapes.
        kind: what it does.
        key: values of the key columns before it.
        values: column -> value: those that an insert gives, the changed ones of an update, none of a delete.
        effects: every row that it changes, itself first, then the children that a foreign key changes with it.
        undone: runs behind a savepoint that is rolled back.
    """

    table: int
    kind: Kind
    key: KeyValues
    values: dict[str, object]
    effects: tuple[Effect, ...]
    undone: bool = False


@dataclass(frozen=True)
class Transaction:
    """Statements of one transaction; ``commits`` is how it is meant to end."""

    operations: tuple[Planned, ...]
    commits: bool


class NothingToDo(Exception):
    """No statement can be planned for any table; says why for each."""


class Planner:
    """The transactions of one writer, on keys that no other writer touches.

    Args:
        shapes: tables to write.
        seed: same seed, same transactions.
        writer: number of this writer, from 0.
        writers: how many there are.
        source: from where new keys and unique values come.
        rows: (table, key, what is remembered) of the rows that are this writer's already.
    """

    def __init__(
        self,
        shapes: Sequence[Shape],
        *,
        seed: int,
        writer: int,
        writers: int,
        source: Numbers,
        rows: Iterable[tuple[int, KeyValues, Row]] = (),
    ) -> None:
        self._random = Random(f"{seed}/{writer}/{[free.upcoming for free in source.plain]}")  # noqa: S311 - a workload, no secret
        self._shapes = list(shapes)
        self.rows = Rows(self._shapes)
        for table, key, row in rows:
            self.rows.insert(table, key, row)
        self.rows.settle()
        self._birth = Birth(self._shapes, self.rows, self._random, source, (writer, writers))
        self._begun = 0
        self._most = max(SIZES)
        self.cannot: dict[int, str] = {}

    def next(self, most_operations: int) -> Transaction:
        """The next transaction, of at most so many statements; a row whose parents have to be made first may need more.

        Tell `ended` how it ended before the one after.

        Raises:
            NothingToDo: no table takes a row, and there is none to change.
        """
        random = self._random
        size = min(random.choice(SIZES), most_operations, self._most)
        commits = random.random() >= ROLLED_BACK_SHARE
        undone_from = random.randrange(size) if size > 1 and random.random() < SAVEPOINT_SHARE else size
        planned: list[Planned] = []
        self._begun = self.rows.mark()
        savepoint: int | None = None
        failures = 0
        while len(planned) < size:
            undone = len(planned) >= undone_from
            if undone and savepoint is None:
                savepoint = self.rows.mark()
            made = self._some(random.randrange(len(self._shapes)))
            planned += [replace(one, undone=undone) for one in made]
            failures = 0 if made else failures + 1
            if failures > TRIES * len(self._shapes):
                break
        if not planned:
            raise NothingToDo("; ".join(f"{self._name(table)}: {why}" for table, why in self.cannot.items()))
        if savepoint is not None:
            self.rows.undo(savepoint)
        return Transaction(tuple(planned), commits)

    def births(self, table: int, rows: int) -> Transaction:
        """A transaction of new rows of one table, and of the parents that have to be made for them. Tell `ended`.

        Raises:
            NothingToDo: the table takes no row; says why.
        """
        self._begun = self.rows.mark()
        planned: list[Planned] = []
        made = 0
        while made < rows:
            mark = self.rows.mark()
            try:
                born = self._insert(table, 1.0)
            except NoRow as error:
                self.rows.undo(mark)
                if not planned:
                    raise NothingToDo(str(error)) from None
                break
            planned += born
            made += sum(one.table == table for one in born)
        return Transaction(tuple(planned), commits=True)

    def ended(self, transaction: Transaction, *, committed: bool | None, missed: Iterable[int] = ()) -> None:
        """Note which rows live. Rows of a transaction with an unknown end (None) are not used again.

        Args:
            transaction: the one that was planned last.
            committed: whether it did.
            missed: places of statements that changed nothing, or something else: their rows are not used again.
        """
        if committed:
            self.rows.settle()
        else:
            self.rows.undo(self._begun)
        lost = list(missed) if committed else []
        if committed is None:
            lost = list(range(len(transaction.operations)))
        for place in lost:
            for effect in transaction.operations[place].effects:
                self.rows.forget(effect.table, effect.key)
        # What the source refuses costs its whole transaction: after a refusal transactions are small, then they grow.
        if transaction.commits:
            self._most = 1 if committed is False else min(self._most * 2, max(SIZES))

    def _some(self, table: int) -> list[Planned]:
        """A statement on a table, or a few that belong together; none when there is nothing to do."""
        random, choice = self._random, self._random.random()
        key = self.rows.any(table, random)
        mark = self.rows.mark()
        try:
            if key is None or (choice < 0.45 and self.rows.count(table) < MOST_LIVE_KEYS):
                return self._insert(table, choice)
            if choice < 0.85:
                return self._update(table, key)
            return self._delete(table, key, again=choice < 0.93)
        except NoRow as error:
            self.rows.undo(mark)
            self.cannot[table] = str(error)
            if key is not None and choice < 0.45:
                return self._delete(table, key, again=False) if choice < 0.1 else self._update(table, key)
        except Refused:
            self.rows.undo(mark)
        return []

    def _insert(self, table: int, choice: float) -> list[Planned]:
        made = []
        born = self._birth.row(table)
        self.cannot.pop(table, None)
        for born_table, key, values in born:
            made.append(_inserted(born_table, key, values))
        # A row that is changed by the transaction that made it.
        return [*made, *self._update(table, born[-1][1])] if choice < 0.04 else made

    def _update(self, table: int, key: KeyValues) -> list[Planned]:
        mark = self.rows.mark()
        changes = self._birth.changes(table, key, with_key=self._random.random() < KEY_CHANGE_SHARE)
        if not changes:
            return []
        try:
            effects = self.rows.update(table, key, changes)
        except Refused:
            self.rows.undo(mark)
            return []
        return [Planned(table, Kind.UPDATE, key, changes, tuple(effects))]

    def _delete(self, table: int, key: KeyValues, *, again: bool) -> list[Planned]:
        mark = self.rows.mark()
        try:
            effects = self.rows.delete(table, key)
        except Refused:
            self.rows.undo(mark)
            return []
        deleted = Planned(table, Kind.DELETE, key, {}, tuple(effects))
        # Where a trigger or a rule keeps the row, its key is not free.
        if not again or any(one.before_row or one.rule for one in self._shapes[table].constraints.side_effects):
            return [deleted]
        before = self.rows.mark()
        try:
            values = self._birth.again(table, key)
        except (NoRow, Refused):
            self.rows.undo(before)
            return [deleted]
        return [deleted, _inserted(table, key, values)]

    def _name(self, table: int) -> str:
        return self._shapes[table].schema.qualified


def _inserted(table: int, key: KeyValues, values: dict[str, object]) -> Planned:
    return Planned(table, Kind.INSERT, key, values, (Effect(table, Kind.INSERT, key),))
