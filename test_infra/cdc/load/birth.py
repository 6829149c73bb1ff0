"""New rows and new values for rows: with parents for every foreign key, and nothing twice that is unique."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING

from test_infra.cdc.load.keys import Numbers, counting, key_makers
from test_infra.cdc.load.numbered import NoMoreValues, Numbered
from test_infra.cdc.load.rows import KeyValues, Refused, Rows
from test_infra.cdc.load.values import SqlValue

if TYPE_CHECKING:
    from test_infra.cdc.load.shape import Shape
    from test_infra.cdc.sources.constraints import ForeignKey

NUMBER_IN_SQL = r"(?<!:):n\b"
TRIES = 40
DEEPEST = 8
NEW_PARENT_SHARE = 0.02
NO_PARENT_SHARE = 0.1
DEFAULT_SHARE = 0.2

Born = tuple[int, KeyValues, dict[str, object]]
"""Table, key and all values of a new row."""


class NoRow(Exception):
    """No row can be made; says why, with the constraint's name."""


class Birth:
    """Makes rows of all tables of one writer, and notes them among its rows.

    Args:
        shapes: the tables.
        rows: the writer's rows.
        random: of the writer.
        source: from where new keys and unique values come.
        share: which part of the values that can be counted up is this writer's: its number, and how many there are.
    """

    def __init__(
        self,
        shapes: Sequence[Shape],
        rows: Rows,
        random: Random,
        source: Numbers,
        share: tuple[int, int],
    ) -> None:
        self._shapes = shapes
        self._rows = rows
        self._random = random
        self._source = source
        self._share = share
        self._places = {(shape.schema.schema, shape.schema.name): place for place, shape in enumerate(shapes)}
        self._key_makers = [key_makers(shape) for shape in shapes]
        self._because = ""
        self._lines: dict[tuple[int, KeyValues], int] = {}

    def row(self, table: int) -> list[Born]:
        """A new row, behind the parents that had to be made for it.

        Raises:
            NoRow: there is no way to make one.
        """
        born: list[Born] = []
        self._born(table, born, {}, {})
        return born

    def again(self, table: int, key: KeyValues) -> dict[str, object]:
        """All values of a new row with a key that was used before.

        Raises:
            NoRow: there is no way to make one.
        """
        born: list[Born] = []
        given = dict(zip(self._shapes[table].schema.key_names, key, strict=True))
        self._born(table, born, {}, given)
        if len(born) > 1:
            raise NoRow("its parents are gone")
        return born[0][2]

    def changes(self, table: int, key: KeyValues, *, with_key: bool) -> dict[str, object]:
        """New values for some columns of a row; none where nothing can be changed."""
        shape, random = self._shapes[table], self._random
        names = self._changeable(shape)
        if with_key and (moved := self._moved_key(table, key)):
            return moved
        if not names:
            return {}
        chosen = names if random.random() < 0.3 else [random.choice(names)]
        bound = shape.bound_to(chosen)
        before = self._rows.row(table, key) or {}
        for _ in range(TRIES):
            changed: dict[str, object] = {}
            for foreign in shape.foreign_keys:
                if bound & set(foreign.columns) - set(shape.schema.key_names):
                    fixed = {name: before[name] for name in foreign.columns if name in shape.schema.key_names}
                    parent = self._known_parent(table, foreign, {**fixed, **changed})
                    if parent is None:
                        return {}
                    changed |= {name: value for name, value in parent.items() if name not in fixed}
            changed |= self._ordinary(table, sorted(bound & set(shape.makers)), {**before, **changed})
            row = {**before, **changed}
            if shape.passes(row) and not self._taken(table, row, key):
                return changed
        return {}

    def _born(
        self, table: int, born: list[Born], building: dict[int, dict[str, object]], given: Mapping[str, object]
    ) -> None:
        """Make a row with some values given, and its parents before it."""
        shape = self._shapes[table]
        if len(building) >= DEEPEST:
            raise NoRow(f"its foreign keys lead through more than {DEEPEST} tables")
        why = "no value was left for its key"
        for attempt in range(TRIES):
            mark, made = self._rows.mark(), len(born)
            values = dict(given)
            building[table] = values
            try:
                row = self._attempt(table, born, building, values, new_parents=attempt > TRIES // 2)
                self._rows.insert(table, tuple(row[name] for name in shape.schema.key_names), self._kept(shape, row))
            except Refused as error:
                why = f"{error} has no value left"
            except NoRow as error:
                del building[table]
                self._undo(mark, born, made)
                raise NoRow(str(error)) from None
            else:
                del building[table]
                born.append((table, tuple(row[name] for name in shape.schema.key_names), row))
                return
            self._undo(mark, born, made)
        building.pop(table, None)
        raise NoRow(why)

    def _undo(self, mark: int, born: list[Born], made: int) -> None:
        self._rows.undo(mark)
        del born[made:]

    def _attempt(
        self,
        table: int,
        born: list[Born],
        building: dict[int, dict[str, object]],
        values: dict[str, object],
        *,
        new_parents: bool,
    ) -> dict[str, object]:
        shape = self._shapes[table]
        keyed = set(shape.schema.key_names)
        for of_key in (True, False):
            for foreign in shape.foreign_keys:
                if bool(keyed & set(foreign.columns)) is not of_key:
                    continue
                if foreign.parent == (shape.schema.schema, shape.schema.name):
                    if of_key:
                        self._complete_key(table, values)
                    values |= self._relative(table, foreign, values)
                else:
                    values |= self._parent(table, foreign, born, building, values, new_parents=new_parents)
            # A parent that needs this row first has to know its key.
            self._complete_key(table, values)
        names = [name for name in shape.makers if name not in values]
        for _ in range(TRIES):
            row = {**values, **self._ordinary(table, names, values)}
            if shape.passes(row):
                break
        if taken := self._taken(table, row, None):
            raise Refused(taken)
        left_out = [name for name in shape.with_default if self._random.random() < DEFAULT_SHARE]
        return {name: row[name] for name in shape.columns if name in row and name not in left_out}

    def _parent(
        self,
        table: int,
        foreign: ForeignKey,
        born: list[Born],
        building: dict[int, dict[str, object]],
        values: Mapping[str, object],
        *,
        new_parents: bool,
    ) -> dict[str, object]:
        """Values of a foreign key's columns: of a row that is there, of a new one, or NULL.

        Raises:
            NoRow: it must have a parent, and none can be had.
        """
        shape, place = self._shapes[table], self._places.get(foreign.parent)
        optional = [name for name in foreign.columns if name not in values and name in shape.takes_null]
        fixed = {name: values[name] for name in foreign.columns if name in values}
        if None in fixed.values() or (optional and self._random.random() < NO_PARENT_SHARE):
            return dict.fromkeys(optional)
        wants_new = place is not None and (new_parents or self._random.random() < NEW_PARENT_SHARE)
        found = None if wants_new else self._known_parent(table, foreign, values)
        if found is None and place is not None:
            found = (
                self._in_a_circle(foreign, building[place])
                if place in building
                else self._new_parent(place, foreign, born, building, fixed)
            ) or self._known_parent(table, foreign, values)
        if found is not None:
            return found
        if optional:
            return dict.fromkeys(optional)
        because = (
            ", for both need each other first" if place in building else f" ({self._because})" * bool(self._because)
        )
        raise NoRow(f"foreign key {foreign.name} needs a row of {'.'.join(foreign.parent)}, and there is none{because}")

    def _new_parent(
        self,
        place: int,
        foreign: ForeignKey,
        born: list[Born],
        building: dict[int, dict[str, object]],
        fixed: Mapping[str, object],
    ) -> dict[str, object] | None:
        """The columns of a foreign key that points to a row made for it; None where none can be made."""
        turned = dict(zip(foreign.columns, foreign.parent_columns, strict=True))
        try:
            self._born(place, born, building, {turned[name]: value for name, value in fixed.items()})
        except NoRow as error:
            self._because = str(error)
            return None
        return _pointing(foreign, born[-1][2])

    def _in_a_circle(self, foreign: ForeignKey, parent: Mapping[str, object]) -> dict[str, object] | None:
        """The parent is being made, and waits for this row: it may be pointed to already where that is checked late."""
        return _pointing(foreign, parent) if foreign.deferrable else None

    def _relative(self, table: int, foreign: ForeignKey, values: Mapping[str, object]) -> dict[str, object]:
        """A row of the same table: another one, NULL, or the row itself."""
        shape = self._shapes[table]
        optional = [name for name in foreign.columns if name not in values and name in shape.takes_null]
        if optional and self._random.random() < 0.4:
            return dict.fromkeys(optional)
        if (known := self._known_parent(table, foreign, values)) is not None:
            return known
        if optional:
            return dict.fromkeys(optional)
        if all(name in values for name in foreign.parent_columns):
            return {own: values[name] for own, name in zip(foreign.columns, foreign.parent_columns, strict=True)}
        raise NoRow(f"foreign key {foreign.name} points to the table itself, and there is no first row")

    def _known_parent(self, table: int, foreign: ForeignKey, values: Mapping[str, object]) -> dict[str, object] | None:
        """The columns of a foreign key that points to a row that is there; None where none fits."""
        place = self._places.get(foreign.parent)
        if place is None:
            found: Sequence[KeyValues] = self._source.outside.get(
                f"{self._shapes[table].schema.qualified}.{foreign.name}", ()
            )
        else:
            found = self._rows.parents(place, foreign.parent_columns)
        fixed = [(at, values[name]) for at, name in enumerate(foreign.columns) if name in values]
        if fixed:
            found = [one for one in found if all(one[at] == value for at, value in fixed)]
        return dict(zip(foreign.columns, self._random.choice(found), strict=True)) if found else None

    def _complete_key(self, table: int, values: dict[str, object]) -> None:
        """Give the key columns that no foreign key gives.

        Raises:
            NoRow: every key is used up.
        """
        shape, makers = self._shapes[table], self._key_makers[table]
        missing = [name for name in shape.schema.key_names if name not in values]
        if not missing:
            return
        way = counting(shape, makers, missing)
        if table in self._source.sequences:
            number = next(self._source.sequences[table], None)
            if number is None:
                raise NoRow("the sequence of its key has no number left")
        elif len(missing) == 1 and len(shape.schema.key_names) > 1:
            fixed = tuple(values[name] for name in shape.schema.key_names if name in values)
            number = self._lines.get((table, fixed), 0)
            self._lines[table, fixed] = number + 1
        else:
            number = self._source.plain[table].take()
        try:
            values |= way.values(number)
        except NoMoreValues:
            values |= {name: self._used_before(makers[name]) for name in missing}

    def _used_before(self, maker: Numbered) -> object:
        """A value of this writer's that may be free again."""
        first, step = self._share
        if maker.capacity <= first:
            raise NoRow("no value was left for its key")
        try:
            return maker(self._random.randrange(first, maker.capacity, step))
        except (NoMoreValues, OverflowError):
            raise NoRow("no value was left for its key") from None

    def _moved_key(self, table: int, key: KeyValues) -> dict[str, object]:
        """Another key for a row, where the load gives the keys; nothing elsewhere."""
        shape = self._shapes[table]
        if len(key) != 1 or shape.schema.key_names[0] in shape.pointing or shape.fixed_key:
            return {}
        values: dict[str, object] = {}
        try:
            self._complete_key(table, values)
        except NoRow:
            return {}
        return values if tuple(values.values()) != key and shape.passes(values) else {}

    def _changeable(self, shape: Shape) -> list[str]:
        keyed = set(shape.schema.key_names) | shape.left_out
        return [*shape.makers, *sorted(shape.pointing - keyed)]

    def _ordinary(self, table: int, names: Sequence[str], given: Mapping[str, object]) -> dict[str, object]:
        """Values of columns that no foreign key fills; in a unique constraint, one column counts."""
        shape = self._shapes[table]
        values = {
            name: self._numbered_sql(table, value) for name, value in shape.values_of(self._random, names).items()
        }
        for unique in shape.uniques:
            counted = [name for name in unique.columns if name in shape.counted and name in values]
            if not counted or any(values.get(name, given.get(name)) is None for name in unique.columns):
                continue
            widest = max(counted, key=lambda name: shape.counted[name].capacity)
            try:
                values[widest] = shape.counted[widest](self._source.plain[table].take())
            except NoMoreValues:
                values[widest] = self._used_before(shape.counted[widest])
        return values

    def _numbered_sql(self, table: int, value: object) -> object:
        """A value by SQL with a number in it that no other row has."""
        if not isinstance(value, SqlValue) or not re.search(NUMBER_IN_SQL, value.sql):
            return value
        return SqlValue(re.sub(NUMBER_IN_SQL, str(self._source.plain[table].take()), value.sql))

    def _taken(self, table: int, row: Mapping[str, object], own: KeyValues | None) -> str:
        """The unique constraint that another row keeps from taking this one; empty where none does."""
        for unique in self._shapes[table].uniques:
            values = tuple(row.get(name) for name in unique.columns)
            if None not in values and set(self._rows.holding(table, unique.columns, values)) - {own}:
                return unique.name
        return ""

    def _kept(self, shape: Shape, row: Mapping[str, object]) -> dict[str, object]:
        return {name: row.get(name) for name in shape.kept}


def _pointing(foreign: ForeignKey, parent: Mapping[str, object]) -> dict[str, object] | None:
    """The columns of a foreign key as a parent has them; None where a value of the parent is not known."""
    if not all(name in parent for name in foreign.parent_columns):
        return None
    return {own: parent[name] for own, name in zip(foreign.columns, foreign.parent_columns, strict=True)}
