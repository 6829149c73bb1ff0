"""One table as the load writes it: which columns it gives, from where their values come, which belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.cdc.load.conditions import Node, holds, parse
from test_infra.cdc.load.domains import NO_LIMITS, Domain, column_names, domains, merged, with_value_named
from test_infra.cdc.load.numbered import Numbered, numbered
from test_infra.cdc.load.values import Make, comparable_maker, maker
from test_infra.cdc.sources.constraints import Check, TableConstraints
from test_infra.cdc.types.table import Column, TableSchema

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.spec import ColumnValues
    from test_infra.cdc.sources.constraints import ForeignKey, Unique


@dataclass(frozen=True)
class Condition:
    """A CHECK that was understood."""

    name: str
    columns: frozenset[str]
    tree: Node


NO_CONSTRAINTS = TableConstraints()


def shapes_of(
    schemas: Sequence[TableSchema],
    constraints: Sequence[TableConstraints],
    values: Mapping[str, Mapping[str, ColumnValues]],
) -> list[Shape]:
    """The tables of a load, in their order.

    Args:
        schemas: the tables.
        constraints: of each.
        values: table -> column -> what the YAML says.

    Raises:
        UsageError: the YAML names a table or a column that is not there, or a column has no values.
    """
    if unknown := sorted(set(values) - {schema.label for schema in schemas}):
        raise UsageError(
            f"`load: values:` names table {unknown[0]}, which the pipeline does not have",
            details={"tables": ", ".join(schema.label for schema in schemas)},
        )
    shapes = [
        Shape(
            schema,
            of_table,
            values.get(schema.label),
            frozenset[str]().union(
                *(
                    key.parent_columns
                    for other in constraints
                    for key in other.foreign_keys
                    if key.parent == (schema.schema, schema.name)
                )
            ),
        )
        for schema, of_table in zip(schemas, constraints, strict=True)
    ]
    for shape in shapes:
        _ = shape.makers, shape.counted
    return shapes


@dataclass(frozen=True)
class Shape:
    """A table, what its catalogue demands, and what the pipeline's YAML says of its values.

    Args:
        schema: the table.
        constraints: what its rows must hold to.
        values: column -> what the YAML says.
        referenced: columns that foreign keys point to.
    """

    schema: TableSchema
    constraints: TableConstraints = NO_CONSTRAINTS
    values: Mapping[str, ColumnValues] | None = None
    referenced: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        known = set(self.columns)
        if unknown := sorted(set(self.values or {}) - known):
            raise UsageError(
                f"`load: values:` names column {unknown[0]}, and table {self.schema.qualified} has none of that name",
                details={"columns": ", ".join(sorted(known))},
            )
        if keyed := [name for name in self.schema.key_names if name in (self.values or {}) and self.domains[name].sql]:
            raise UsageError(
                f"`load: values:` gives key column {keyed[0]} of {self.schema.qualified} by SQL: the history needs "
                "keys that it knows beforehand",
                hint="use `choice`, `range` or `regex`",
            )

    @property
    def foreign_keys(self) -> tuple[ForeignKey, ...]:
        """From this table, those of its key first: they decide who the row is."""
        keyed = set(self.schema.key_names)
        written = set(self.values or {})
        return tuple(
            sorted(
                (key for key in self.constraints.foreign_keys if not written & set(key.columns)),
                key=lambda key: not keyed & set(key.columns),
            )
        )

    @cached_property
    def pointing(self) -> frozenset[str]:
        """Columns of foreign keys."""
        return frozenset(name for key in self.foreign_keys for name in key.columns)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Name -> column; one that takes no NULL because of its domain, or only one NULL, is told so."""
        strict = set(self.constraints.not_null).union(
            *(unique.columns for unique in self.constraints.uniques if not unique.nulls_distinct)
        )
        return {
            column.name: Column(column.name, column.type, False, column.key_position, column.base, column.dialect)
            if column.name in strict
            else column
            for column in (*self.schema.columns, *self.schema.excluded)
        }

    @cached_property
    def takes_null(self) -> frozenset[str]:
        """Columns that may hold NULL."""
        return frozenset(column.name for column in self.columns.values() if column.nullable)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Conditions on its rows; one that the capture leaves out would look like one that was lost."""
        captured = Check("rows: where", (), self.schema.where)
        return (*self.constraints.checks, *([captured] if self.schema.where else []))

    @cached_property
    def domains(self) -> dict[str, Domain]:
        """Column -> limits."""
        return merged(domains(self.checks), self.values or {})

    @cached_property
    def uniques(self) -> tuple[Unique, ...]:
        """Unique constraints on columns that the load writes."""
        given = set(self.columns) - self.left_out
        return tuple(
            unique for unique in self.constraints.uniques if unique.columns and given.issuperset(unique.columns)
        )

    @cached_property
    def left_out(self) -> frozenset[str]:
        """Columns that the source always fills: identities and numbers of a sequence outside the key."""
        return frozenset(
            filled.column
            for filled in self.constraints.filled
            if (filled.identity or filled.sequence)
            and filled.column not in self.schema.key_names
            and filled.column not in (self.values or {})
        )

    @cached_property
    def sequences(self) -> dict[str, str]:
        """Key column -> the sequence that gives its values elsewhere, and here, too."""
        return {
            filled.column: filled.sequence
            for filled in self.constraints.filled
            if filled.sequence and filled.column in self.schema.key_names and filled.column not in (self.values or {})
        }

    @property
    def fixed_key(self) -> bool:
        """Whether a row's key is given by the source and stays as it is."""
        return bool(self.sequences) or self.overrides_identity

    @cached_property
    def with_default(self) -> frozenset[str]:
        """Columns that may be left out of an insert now and then."""
        bound = self._together.union(*(unique.columns for unique in self.uniques))
        bound |= {name for key in self.foreign_keys for name in key.columns}
        return frozenset(
            filled.column
            for filled in self.constraints.filled
            if filled.default and filled.column not in bound | set(self.schema.key_names) | set(self.values or {})
        )

    @cached_property
    def overrides_identity(self) -> bool:
        """Whether an insert gives a value for a column that is GENERATED ALWAYS AS IDENTITY."""
        return any(
            filled.identity == "always" and filled.column not in self.left_out for filled in self.constraints.filled
        )

    @cached_property
    def kept(self) -> frozenset[str]:
        """Columns whose values the plan remembers of each row."""
        return frozenset(self.schema.key_names).union(
            *(key.columns for key in self.foreign_keys),
            *(unique.columns for unique in self.uniques),
            self.referenced,
        )

    @cached_property
    def makers(self) -> dict[str, Make]:
        """Column -> maker of random values, for all that neither the source nor a foreign key fills."""
        judged = frozenset[str]().union(*(one.columns for one in self.conditions))
        optional = {column.name for column in self.schema.excluded} & (
            self.takes_null | {filled.column for filled in self.constraints.filled}
        )
        found = {}
        for name, column in self.columns.items():
            if name in self.left_out or name in self.schema.key_names or name in self.pointing:
                continue
            try:
                found[name] = (comparable_maker if name in judged else maker)(column, self.domains.get(name, NO_LIMITS))
            except UsageError:
                # A column that is not captured has a type for which there may be no values here.
                if name not in optional:
                    raise
        return found

    @cached_property
    def counted(self) -> dict[str, Numbered]:
        """Column of a unique constraint -> another value for each number, where there is a way to count."""
        found = {}
        for name in {name for unique in self.uniques for name in unique.columns} & set(self.makers):
            try:
                found[name] = numbered(self.columns[name], self.domains.get(name, NO_LIMITS))
            except UsageError:
                continue
        return found

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """The CHECKs that were understood."""
        found = []
        for check in self.checks:
            tree = parse(check.sql)
            if tree is not None:
                tree = with_value_named(tree, check.columns[0]) if check.of_domain else tree
                found.append(Condition(check.name, frozenset(column_names(tree)), tree))
        return tuple(found)

    @cached_property
    def _together(self) -> frozenset[str]:
        """Columns that a condition reads together with others."""
        return frozenset[str]().union(*(one.columns for one in self.conditions if len(one.columns) > 1))

    def bound_to(self, names: Iterable[str]) -> set[str]:
        """Columns that must change together with these: of one foreign key, one unique constraint, one condition."""
        found = set(names)
        groups: list[frozenset[str]] = [one.columns for one in self.conditions if len(one.columns) > 1]
        groups += [frozenset(key.columns) for key in self.foreign_keys]
        groups += [frozenset(unique.columns) for unique in self.uniques]
        writable = set(self.columns) - self.left_out - set(self.schema.key_names)
        while more := [group for group in groups if group & found and (group & writable) - found]:
            found |= set().union(*more) & writable
        return found

    def passes(self, row: Mapping[str, object]) -> bool:
        """Whether a row holds to every condition that can be judged."""
        return all(holds(condition.tree, row) is not False for condition in self.conditions)

    def values_of(self, random: Random, names: Sequence[str]) -> dict[str, object]:
        """Random values of columns, whatever conditions say of several together."""
        return {name: self.makers[name](random) for name in names}
