"""What a source demands of the rows of a table, and what it writes there by itself; read from its catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What a foreign key does to the children of a row that is deleted, or whose referenced columns change."""

    REFUSE = "refuse"
    """NO ACTION or RESTRICT: the row stays as long as it has children."""
    CASCADE = "cascade"
    SET_NULL = "set null"
    SET_DEFAULT = "set default"


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key of a table.

    Args:
        name: of the constraint.
        columns: of the child.
        parent: schema and name of the table that it points to.
        parent_columns: in the order of ``columns``.
        on_delete: what becomes of the children of a deleted row.
        on_update: what becomes of the children when the referenced columns change.
        deferrable: it may be checked at the commit.
        set_columns: the columns that SET NULL and SET DEFAULT of a delete change; all of them where empty.
    """

    name: str
    columns: tuple[str, ...]
    parent: tuple[str, str]
    parent_columns: tuple[str, ...]
    on_delete: Action = Action.REFUSE
    on_update: Action = Action.REFUSE
    deferrable: bool = False
    set_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unique:
    """A unique constraint or index beside the key.

    Args:
        name: of the index.
        columns: all that it reads, also within an expression or a predicate.
        nulls_distinct: two rows may hold NULL.
    """

    name: str
    columns: tuple[str, ...]
    nulls_distinct: bool = True


@dataclass(frozen=True)
class Check:
    """A condition on a row: of the table, or of a domain that a column has.

    Args:
        name: of the constraint.
        columns: that it reads.
        sql: the condition, as the catalogue writes it; a domain's value is called ``VALUE``.
        of_domain: it is a domain's.
    """

    name: str
    columns: tuple[str, ...]
    sql: str
    of_domain: bool = False


@dataclass(frozen=True)
class Filled:
    """A column that the source fills when a row leaves it out.

    Args:
        column: its name.
        default: SQL of the default; empty for an identity.
        identity: ``always``, ``by default``, or empty.
        sequence: quoted name of the sequence that gives the values; empty where there is none.
    """

    column: str
    default: str = ""
    identity: str = ""
    sequence: str = ""


@dataclass(frozen=True)
class SideEffect:
    """A trigger or a rule of a table: what a statement on it does beside, or instead.

    Args:
        name: such as ``trigger set_updated_at``.
        before_row: it may change the row, or keep it from being written.
        rule: a rewrite rule.
    """

    name: str
    before_row: bool = False
    rule: bool = False


@dataclass(frozen=True)
class TableConstraints:
    """Everything that says which rows a table takes, and what else happens when one is written.

    Args:
        foreign_keys: from this table to others, or to itself.
        uniques: beside the key.
        checks: of the table and of its columns' domains.
        exclusions: names of exclusion constraints, and the columns that each reads.
        filled: columns with a default or an identity.
        not_null: columns that take no NULL though the table would: their domain does not.
        side_effects: triggers and rules.
    """

    foreign_keys: tuple[ForeignKey, ...] = ()
    uniques: tuple[Unique, ...] = ()
    checks: tuple[Check, ...] = ()
    exclusions: tuple[Unique, ...] = ()
    filled: tuple[Filled, ...] = ()
    not_null: tuple[str, ...] = ()
    side_effects: tuple[SideEffect, ...] = ()
