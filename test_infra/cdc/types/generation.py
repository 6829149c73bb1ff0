"""A table's shape, one generation after the other: how a row of an older one looks in a newer one. Pure.

A column is known by its number in the source's catalogue: it stays when the column is renamed, and is never used again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice, product
from typing import TYPE_CHECKING

from test_infra.base.document import Document
from test_infra.cdc.types.dialect import rule_for
from test_infra.cdc.types.rule import field_sql, identifier
from test_infra.cdc.types.table import TableSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from test_infra.cdc.types.table import Column

_WIDER = {
    "SMALLINT": ("INTEGER", "BIGINT"),
    "INTEGER": ("BIGINT",),
    "FLOAT": ("DOUBLE",),
}
MOST_READINGS = 64
"""Of a record from between two looks: the types of six columns were written in another way by then."""
_DIGITS = {"SMALLINT": 5, "INTEGER": 10, "BIGINT": 19}


class Generation(Document):
    """What a table is from one DDL to the next.

    Args:
        table: the captured table.
        identity: of the table in the source; a table that was dropped and made again has another.
        numbers: column -> its number in the source's catalogue.
        filled: column -> the value that rows from before the column have, of which no event tells; DuckDB SQL. Columns
            without one are NULL there.
        number: 0 for the table as it was when the pipeline began.
    """

    table: TableSchema
    identity: str
    numbers: dict[str, int]
    filled: dict[str, str] = {}
    number: int = 0

    def is_like(self, other: Generation) -> bool:
        """Whether nothing but the number and the filled values differs."""
        return (self.table, self.identity, self.numbers) == (other.table, other.identity, other.numbers)

    def formerly(self, column: Column, old: Generation) -> Column | None:
        """What a column of this generation was in an older one; None when it was not there."""
        of = self.numbers[column.name]
        return next((one for one in old.table.columns if old.numbers[one.name] == of), None)


def unfollowed(table: TableSchema) -> Generation:
    """The only generation of a table whose DDL is not followed."""
    return Generation(table=table, identity="", numbers={column.name: at for at, column in enumerate(table.columns, 1)})


def prepared_as(table: TableSchema, now: Generation) -> Generation:
    """What a table was when only its columns were looked up: one is the same as now where its name is."""
    numbers = {column.name: now.numbers.get(column.name, -place) for place, column in enumerate(table.columns, 1)}
    return Generation(table=table, identity=now.identity, numbers=numbers)


def succeeding(known: Generation, now: Generation) -> Generation:
    """The next generation after a known one. A filled value stays known: a rewrite of the table writes it into rows."""
    numbers = {number: name for name, number in known.numbers.items()}
    kept = {
        name: known.filled[numbers[number]]
        for name, number in now.numbers.items()
        if numbers.get(number) in known.filled
    }
    return now.model_copy(update={"number": known.number + 1, "filled": {**now.filled, **kept}})


def between(old: Generation, new: Generation, names: Collection[str]) -> list[Generation]:
    """What the table may have been at a moment from the one generation to the other, when it had these columns.

    Several statements may lie between two looks at the catalogue. A column that both generations have was there all the
    time, under one of its names and with one of its types; the others came or went. Empty when that does not explain
    the columns; the newest types come first.
    """
    numbers = {name: old.numbers.get(name, new.numbers.get(name)) for name in names}
    known = {name: number for name, number in numbers.items() if number is not None}
    stayed = set(old.numbers.values()) & set(new.numbers.values())
    if len(set(known.values())) != len(numbers) or not stayed <= set(known.values()):
        return []
    kinds: dict[int, list[Column]] = {}
    for generation in (new, old):
        for column in generation.table.columns:
            of_number = kinds.setdefault(generation.numbers[column.name], [])
            # Only a type that is written in another way is another reading of a record.
            if rule_for(column).json_types not in [rule_for(other).json_types for other in of_number]:
                of_number.append(column)
    named = sorted(known.items(), key=_by_number)
    return [
        Generation(
            table=replace(
                new.table,
                columns=tuple(replace(column, name=name) for column, (name, _) in zip(chosen, named, strict=True)),
            ),
            identity=new.identity,
            numbers=known,
        )
        for chosen in islice(product(*(kinds[number] for _, number in named)), MOST_READINGS)
    ]


def _by_number(named: tuple[str, int]) -> int:
    return named[1]


def not_followed(old: Generation, new: Generation) -> list[str]:
    """Why lake and stream cannot go on from one generation to another, one sentence each; empty when they can."""
    if new.identity != old.identity:
        return [f"table {old.table.qualified} was dropped and made again"]
    return [*_of_key(old, new), *_of_columns(old, new)]


def _of_key(old: Generation, new: Generation) -> Iterator[str]:
    if old.table.key_names != new.table.key_names:
        yield f"the key is ({', '.join(new.table.key_names)}), and was ({', '.join(old.table.key_names)})"
    for column in new.table.key:
        if column.name in old.numbers and old.numbers[column.name] != new.numbers[column.name]:
            yield f"column {column.name} of the key was dropped and made again"


def _of_columns(old: Generation, new: Generation) -> Iterator[str]:
    for column in new.table.columns:
        if old.numbers.get(column.name, new.numbers[column.name]) != new.numbers[column.name]:
            yield f"column {column.name} is another one than column {column.name} before, which events do not tell"
        before = new.formerly(column, old)
        if before is not None and not _holds(rule_for(column).duckdb, rule_for(before).duckdb):
            yield f"column {column.name} is {column.type} and was {before.type}"


def _holds(new: str, old: str) -> bool:
    """Whether a DuckDB type holds every value of another one, as the same value."""
    if new == old or new in _WIDER.get(old, ()):
        return True
    wide, narrow = _decimal(new), _decimal(old)
    if wide is None or not new.startswith("DECIMAL") or narrow is None:
        return False
    return wide[1] >= narrow[1] and wide[0] - wide[1] >= narrow[0] - narrow[1]


def _decimal(kind: str) -> tuple[int, int] | None:
    """Digits of a number, and those of them behind the point; None for another type."""
    if kind in _DIGITS:
        return _DIGITS[kind], 0
    sized = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    return (int(sized[1]), int(sized[2])) if sized else None


def moves_rows(old: Generation, new: Generation) -> bool:
    """Whether rows of the one have to be written anew for the other: columns, their names or their types differ."""
    pairs = [(new.formerly(column, old), column) for column in new.table.columns]
    if len(old.table.columns) != len(pairs):
        return True
    return any(
        before is None or before.name != column.name or rule_for(before).duckdb != rule_for(column).duckdb
        for before, column in pairs
    ) or [column.name for column in old.table.columns] != [column.name for column in new.table.columns]


def values_sql(old: Generation, new: Generation, of_column: Mapping[str, str]) -> dict[str, str]:
    """DuckDB SQL of each column's value in the new generation, by its name.

    Args:
        old: generation of the rows.
        new: generation that is wanted.
        of_column: column of the old generation -> SQL of its value.
    """
    return {column.name: _value_sql(old, new, column, of_column) for column in new.table.columns}


def _value_sql(old: Generation, new: Generation, column: Column, of_column: Mapping[str, str]) -> str:
    kind, before = rule_for(column).duckdb, new.formerly(column, old)
    if before is not None:
        value = of_column[before.name]
        return value if rule_for(before).duckdb == kind else f"CAST({value} AS {kind})"
    return f"CAST({new.filled.get(column.name, 'NULL')} AS {kind})"


def row_sql(old: Generation, new: Generation, row: str, names: tuple[str, ...] | None = None) -> str:
    """DuckDB SQL of a struct of the new generation from one of the old; NULL stays NULL.

    Args:
        old: generation of the struct.
        new: generation that is wanted.
        row: SQL of the struct.
        names: its columns; None: all.
    """
    of_column = {column.name: field_sql(row, column.name) for column in old.table.columns}
    values = values_sql(old, new, of_column)
    fields = ", ".join(f"{identifier(name)} := {values[name]}" for name in (values if names is None else names))
    return f"CASE WHEN {row} IS NOT NULL THEN struct_pack({fields}) END"
