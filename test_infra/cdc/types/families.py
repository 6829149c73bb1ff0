"""The table of types: which rule a declared type has, and which types are refused and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.cdc.types import composed, moments, scalars
from test_infra.cdc.types.nested import element_of
from test_infra.cdc.types.rule import FLOATS, TypeRule

if TYPE_CHECKING:
    from test_infra.cdc.types.table import Column

_ZEROS_IN_KEY = (
    "as part of a key it would be two rows where PostgreSQL has one: '{0}' and '{-0}' are one key there, and a merge "
    "into a Delta table takes them for two"
)
_AS_TEXT = "leave the table out of the pipeline, or give the column a supported type such as text"


class UnsupportedColumn(UsageError):
    """A column of a type whose way into Delta is not defined."""

    def __init__(self, column: Column, reason: str) -> None:
        self.column = column
        made_of = f", which is {column.base}," if column.base and column.base != column.type else ""
        super().__init__(
            f"column {column.name} of type {column.type}{made_of} is not supported",
            details={"reason": reason, "supported": ", ".join(SUPPORTED)},
            hint=_AS_TEXT,
        )


@dataclass(frozen=True)
class Family:
    """Types that share a rule.

    Args:
        name: as people write it.
        pattern: regular expression of the type as PostgreSQL's ``format_type`` writes it, in lower case.
        rule: from the match to the rule.
        example: a type of the family.
    """

    name: str
    pattern: str
    rule: Callable[[re.Match[str]], TypeRule]
    example: str


@dataclass(frozen=True)
class Refused:
    """Types that cannot be captured exactly.

    Args:
        name: as people write it.
        pattern: as in `Family`.
        reason: what would be lost, and where.
    """

    name: str
    pattern: str
    reason: str


def _one(name: str, rule: TypeRule, pattern: str = "", example: str = "") -> Family:
    return Family(name, pattern or re.escape(name), lambda _: rule, example or name)


_TZ = r"(?:\([0-6]\))?"
_SCALARS = (
    _one("smallint", scalars.integer("SMALLINT")),
    _one("integer", scalars.integer("INTEGER")),
    _one("bigint", scalars.integer("BIGINT")),
    _one("oid", scalars.OID),
    _one("real", scalars.floating("FLOAT")),
    _one("double precision", scalars.floating("DOUBLE")),
    Family(
        "numeric(p,s) of at most 38 digits",
        r"(?:numeric|decimal)\((\d+)(?:,(-?\d+))?\)",
        lambda found: scalars.scaled(int(found[1]), int(found[2] or 0)),
        "numeric(12,2)",
    ),
    _one("numeric, also with more than 38 digits", scalars.NUMERIC, r"numeric|decimal", "numeric"),
    _one("money", scalars.MONEY),
    _one("boolean", scalars.BOOLEAN),
    _one("bit(1)", scalars.BIT, r"bit(?:\(1\))?"),
    Family("bit(n)", r"bit\((\d+)\)", lambda found: scalars.bit(int(found[1])), "bit(9)"),
    _one(
        "char(n)",
        scalars.text("with its blanks up to the length"),
        r"(?:character|char|bpchar)(?:\(\d+\))?",
        "character(5)",
    ),
    _one("varchar(n)", scalars.text(), r"(?:character varying|varchar)(?:\(\d+\))?", "character varying(10)"),
    _one("text", scalars.text("`''` is not NULL")),
    _one("name", scalars.label()),
    _one('"char"', scalars.label()),
    _one("uuid", scalars.UUID),
    _one("bytea", scalars.BYTEA),
    _one("json", scalars.JSON),
    _one("jsonb", scalars.JSONB),
    _one("date", moments.DATE),
    _one("time(p)", moments.TIME, rf"time{_TZ}(?: without time zone)?", "time without time zone"),
    _one("timestamp(p)", moments.TIMESTAMP, rf"timestamp{_TZ}(?: without time zone)?", "timestamp without time zone"),
    _one(
        "timestamptz(p)",
        moments.TIMESTAMPTZ,
        rf"timestamp{_TZ} with time zone|timestamptz{_TZ}",
        "timestamp with time zone",
    ),
    _one("interval", moments.INTERVAL, rf"interval(?: [a-z]+(?: to [a-z]+)?)?{_TZ}"),
    _one("enum", scalars.ENUM, r"enum(?:\(.*\))?"),
    _one("inet", scalars.INET),
    _one("cidr", scalars.canonical()),
    _one("macaddr", scalars.canonical()),
    _one("macaddr8", scalars.canonical()),
    _one("tsvector", scalars.label()),
    _one("point", composed.POINT),
    _one("line", composed.LINE),
    _one("circle", composed.CIRCLE),
)
_RANGES = tuple(
    family
    for name, subtype in {
        "int4": "integer",
        "int8": "bigint",
        "num": "numeric",
        "date": "date",
        "ts": "timestamp",
        "tstz": "timestamptz",
    }.items()
    for family in (
        _one(f"{name}range", composed.range_of(subtype)),
        _one(f"{name}multirange", composed.multirange_of(subtype)),
    )
)


def _array(found: re.Match[str]) -> TypeRule:
    element = found[1]
    family = next(family for family in _LISTABLE if re.fullmatch(family.pattern, element))
    return composed.array(_rule(family, element), "bpchar" if family.name == "char(n)" else "text")


def _rule(family: Family, declared: str) -> TypeRule:
    found = re.fullmatch(family.pattern, declared)
    assert found is not None
    return family.rule(found)


_LISTABLE = tuple(family for family in (*_SCALARS, *_RANGES) if _rule(family, family.example).from_text is not None)
_ARRAYS = tuple(
    Family(f"{family.name}[]", rf"({family.pattern})\[\]", _array, f"{family.example}[]") for family in _LISTABLE
)
FAMILIES: tuple[Family, ...] = (*_SCALARS, *_RANGES, *_ARRAYS)
"""Every supported family; a domain has the rule of the type that it is made of."""

SUPPORTED = (*(family.name for family in (*_SCALARS, *_RANGES)), "arrays of most of them (docs/types.md)")

_DROPPED = "Debezium leaves such columns out of its events, in silence"
_NULL_ARRAY = "Debezium writes NULL for every array that is not empty"
_SHIFTED = "Debezium shifts elements before 1582-10-15 or BC and changes infinities"
_OPAQUE = "Debezium has no form for it: left out of the events, or passed on as bytes that may change"
_FOREIGN = "Debezium's form of it has not been proved exact"
REFUSED: tuple[Refused, ...] = (
    Refused(
        "varbit",
        r"bit varying(?:\(\d+\))?|varbit(?:\(\d+\))?",
        "Debezium drops leading zeros and with them the length: B'', B'0' and B'00' arrive as the same",
    ),
    Refused(
        "timetz(p)",
        rf"time{_TZ} with time zone|timetz{_TZ}",
        "Debezium drops the offset and writes NULL for some values (23:59:59-15:59:59)",
    ),
    Refused("lseg, box, path, polygon", "lseg|box|path|polygon", "Debezium writes WKB, for which there is no rule"),
    Refused(
        "arrays declared with several dimensions",
        r".*\[\]\[\].*",
        "Debezium writes NULL or a Java object's name for each inner array",
    ),
    Refused("numeric[]", r"(?:numeric|decimal)(?:\(.*\))?\[\]", _NULL_ARRAY),
    Refused("bit[]", r"bit(?:\(\d+\))?\[\]", _NULL_ARRAY),
    Refused("enum[]", r"enum\[\]", _NULL_ARRAY),
    Refused("money[], varbit[], interval[], point[]", r"(?:money|bit varying.*|interval.*|point)\[\]", _DROPPED),
    Refused(
        "time[]", rf"time{_TZ}(?: without time zone)?\[\]", "Debezium cuts elements to milliseconds, 24:00 to 00:00"
    ),
    Refused('name[], "char"[], tsvector[]', r'(?:name|"char"|tsvector)\[\]', _FOREIGN),
    Refused("timetz[]", rf"time{_TZ} with time zone\[\]", "Debezium drops the offset"),
    Refused("date[], timestamp[], timestamptz[]", r"(?:date|timestamp.*)\[\]", _SHIFTED),
    Refused("arrays of a domain", r"domain\[\]", "Debezium passes the elements on as bytes that may change"),
    Refused("int2vector, oidvector", "int2vector|oidvector", "Debezium writes an empty array"),
    Refused("composite types", r"composite(?:\[\])?", _OPAQUE),
    Refused("ranges of own subtypes", r"(?:range|multirange)(?:\[\])?", _OPAQUE),
    Refused("arrays of multiranges", r"[a-z0-9]+multirange\[\]", _OPAQUE),
    Refused("xml, hstore, citext, ltree", r"(?:.*\.)?(?:xml|hstore|citext|ltree)(?:\[\])?", _FOREIGN),
    Refused("vector, halfvec, sparsevec (pgvector)", r"(?:.*\.)?(?:vector|halfvec|sparsevec)(?:\(\d+\))?", _FOREIGN),
    Refused("every other type", r".*", "the type has no rule: its way through Debezium has not been proved exact"),
)


def postgres_rule(column: Column) -> TypeRule:
    """The rule of a PostgreSQL column's type.

    Raises:
        UnsupportedColumn: no rule; the message names column, type, reason and what is supported.
    """
    found = _found(column.base or column.type)
    if isinstance(found, str):
        raise UnsupportedColumn(column, found)
    if column.key_position is not None and element_of(found.duckdb) in FLOATS:
        raise UnsupportedColumn(column, _ZEROS_IN_KEY)
    return found


@cache
def _found(declared: str) -> TypeRule | str:
    """The rule of a type, or why there is none."""
    kind = " ".join(declared.lower().split())
    for family in FAMILIES:
        if found := re.fullmatch(family.pattern, kind):
            return family.rule(found)
    return next(refused.reason for refused in REFUSED if re.fullmatch(refused.pattern, kind))
