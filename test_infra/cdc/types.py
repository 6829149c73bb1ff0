"""One table of types: how a PostgreSQL type travels through Debezium and through ADBC, and what it is in Delta.

Both ways end in the same DuckDB type, so that source and sink are compared as values and never as text.
It relies on Debezium's ``decimal.handling.mode=string``, ``time.precision.mode=microseconds`` and
``binary.handling.mode=base64``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from test_infra.cdc.table import Column, TableSchema

MAX_PRECISION = 38
UNAVAILABLE = "__debezium_unavailable_value"
"""What Debezium writes for an unchanged value that PostgreSQL did not send (TOAST)."""

INTEGER_JSON = ("BIGINT", "UBIGINT")
STRING_JSON = ("VARCHAR",)
NUMBER_JSON = ("BIGINT", "UBIGINT", "DOUBLE", "VARCHAR")  # NaN and the infinities are strings in JSON


class UnsupportedColumn(UsageError):
    """A column of a type whose way into Delta is not defined."""

    def __init__(self, column: Column, reason: str) -> None:
        super().__init__(
            f"column {column.name} of type {column.type} is not supported",
            details={"reason": reason, "supported": ", ".join(SUPPORTED)},
            hint="leave the table out of the pipeline, or give the column a supported type",
        )


def identity(expr: str) -> str:
    """The expression itself: the value already has its type."""
    return expr


@dataclass(frozen=True)
class TypeRule:
    """How one column type is read from either side.

    Args:
        duckdb: DuckDB type of the value; the type in Delta follows from it.
        json_types: DuckDB's ``json_type`` names under which Debezium may write the value.
        from_debezium: DuckDB SQL from the JSON scalar as VARCHAR to ``duckdb``; NULL when it cannot be read.
        source_select: PostgreSQL expression of the SELECT list, from the quoted column.
        from_source: DuckDB SQL from ADBC's Arrow value of ``source_select`` to ``duckdb``.
    """

    duckdb: str
    json_types: tuple[str, ...]
    from_debezium: Callable[[str], str]
    source_select: Callable[[str], str] = identity
    from_source: Callable[[str], str] = identity

    @property
    def arrow(self) -> pa.DataType:
        """Arrow type in which the value is written to Delta."""
        return _arrow_type(self.duckdb)


def identifier(name: str) -> str:
    """A quoted SQL identifier, the same in PostgreSQL, DuckDB and DataFusion."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


def rule_for(column: Column) -> TypeRule:
    """The rule of a column's type.

    Raises:
        UnsupportedColumn: no rule; the message names column, type and what is supported.
    """
    declared = " ".join(column.type.lower().split())
    if rule := _SIMPLE.get(declared):
        return rule
    if sized := re.fullmatch(r"(?:numeric|decimal)\((\d+)(?:,(-?\d+))?\)", declared):
        precision, scale = int(sized[1]), int(sized[2] or 0)
        if precision > MAX_PRECISION or not 0 <= scale <= precision:
            raise UnsupportedColumn(column, f"precision at most {MAX_PRECISION}, scale from 0 to precision")
        return _decimal(precision, scale)
    if declared in ("numeric", "decimal"):
        raise UnsupportedColumn(column, "numeric without precision has no exact Delta type")
    if re.fullmatch(r"(?:character varying|varchar|character|char|bpchar)(?:\(\d+\))?", declared):
        return _TEXT
    if re.fullmatch(r"timestamp(?:\([0-6]\))?(?: without time zone)?", declared):
        return _TIMESTAMP
    if re.fullmatch(r"timestamp(?:\([0-6]\))? with time zone|timestamptz(?:\([0-6]\))?", declared):
        return _TIMESTAMPTZ
    raise UnsupportedColumn(column, "the type has no rule")


def check_supported(schema: TableSchema) -> None:
    """Every column of the table has a rule.

    Raises:
        UnsupportedColumn: the first column without one.
    """
    for column in schema.columns:
        rule_for(column)


def widen(tx_id_32: int, reference: int) -> int:
    """The 64-bit transaction id with these low 32 bits that is nearest to ``reference``.

    PostgreSQL's 32-bit ids wrap around; two ids alive at once are always less than 2**31 apart, so the nearest
    one is the right one whenever the reference is an id of about the same time.

    Args:
        tx_id_32: ``source.txId`` of an event; only its low 32 bits count.
        reference: any recent 64-bit id, such as ``pg_current_xact_id()`` at start or the largest one seen.
    """
    ahead = (tx_id_32 - reference) & 0xFFFFFFFF
    nearest = reference + ahead - (0x1_0000_0000 if ahead >= 0x8000_0000 else 0)
    return nearest if nearest >= 0 else nearest + 0x1_0000_0000


def widen_sql(expr: str, reference: str) -> str:
    """`widen` as DuckDB SQL over two BIGINT expressions."""
    ahead = f"(({expr} - {reference}) & 4294967295)"
    nearest = f"({reference} + {ahead} - CASE WHEN {ahead} >= 2147483648 THEN 4294967296 ELSE 0 END)"
    return f"CASE WHEN {nearest} >= 0 THEN {nearest} ELSE {nearest} + 4294967296 END"


def _cast(duckdb: str) -> Callable[[str], str]:
    return lambda expr: f"TRY_CAST({expr} AS {duckdb})"


def _integer(duckdb: str) -> TypeRule:
    return TypeRule(duckdb, INTEGER_JSON, _cast(duckdb), from_source=lambda expr: f"CAST({expr} AS {duckdb})")


def _float(duckdb: str) -> TypeRule:
    return TypeRule(duckdb, NUMBER_JSON, _cast(duckdb), from_source=lambda expr: f"CAST({expr} AS {duckdb})")


@cache
def _decimal(precision: int, scale: int) -> TypeRule:
    duckdb = f"DECIMAL({precision},{scale})"

    def exact(expr: str) -> str:
        # A cast alone would round a value of a greater scale in silence.
        fits = f"length(split_part({expr}, '.', 2)) <= {scale} OR contains({expr}, 'E')"
        return f"CASE WHEN {fits} THEN TRY_CAST({expr} AS {duckdb}) END"

    def from_text(expr: str) -> str:
        return f"CAST(CAST({expr} AS VARCHAR) AS {duckdb})"

    return TypeRule(duckdb, STRING_JSON, exact, as_text, from_text)


def as_text(quoted: str) -> str:
    """PostgreSQL's own text of a value."""
    return f"{quoted}::text"


_TEXT = TypeRule("VARCHAR", STRING_JSON, identity)
_TIMESTAMP = TypeRule("TIMESTAMP", INTEGER_JSON, lambda expr: f"TRY(make_timestamp(TRY_CAST({expr} AS BIGINT)))")
_TIMESTAMPTZ = TypeRule("TIMESTAMP WITH TIME ZONE", STRING_JSON, _cast("TIMESTAMP WITH TIME ZONE"))

_SIMPLE: dict[str, TypeRule] = {
    "smallint": _integer("SMALLINT"),
    "integer": _integer("INTEGER"),
    "bigint": _integer("BIGINT"),
    "real": _float("FLOAT"),
    "double precision": _float("DOUBLE"),
    "boolean": TypeRule("BOOLEAN", ("BOOLEAN",), _cast("BOOLEAN")),
    "text": _TEXT,
    "uuid": TypeRule("VARCHAR", STRING_JSON, lambda expr: f"CAST(TRY_CAST({expr} AS UUID) AS VARCHAR)", as_text),
    "date": TypeRule("DATE", INTEGER_JSON, lambda expr: f"TRY(DATE '1970-01-01' + TRY_CAST({expr} AS INTEGER))"),
    "json": TypeRule("VARCHAR", STRING_JSON, identity, as_text),
    "jsonb": TypeRule("VARCHAR", STRING_JSON, identity, as_text),
    "bytea": TypeRule("BLOB", STRING_JSON, lambda expr: f"TRY(from_base64({expr}))"),
}
SUPPORTED = (*_SIMPLE, "numeric(p<=38,s)", "varchar(n)", "char(n)", "timestamp", "timestamptz")


def _arrow_type(duckdb: str) -> pa.DataType:
    import pyarrow as pa

    if sized := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", duckdb):
        return pa.decimal128(int(sized[1]), int(sized[2]))
    return {
        "SMALLINT": pa.int16(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "FLOAT": pa.float32(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "VARCHAR": pa.string(),
        "BLOB": pa.binary(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us"),
        "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
    }[duckdb]
