"""What is known of one column type: how it is read from either side, stored and compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.cdc.types.nested import element_of, fields_of

if TYPE_CHECKING:
    import pyarrow as pa

UNAVAILABLE = "__debezium_unavailable_value"
"""What Debezium writes for an unchanged value that PostgreSQL did not send (TOAST)."""
NO_EXACT_FORM = "has no exact form in Delta"
"""Part of DuckDB's error when the source holds a value that cannot be represented."""

BY_VALUE = "value"
AS_FLOATS = "value; NaN = NaN, 0.0 ≠ -0.0"
CANONICAL = "canonical text: equal values have equal text"
EXACT_TEXT = "exact text, which is the value"

Sql = Callable[[str], str]


def identity(expr: str) -> str:
    """The expression itself: the value already has its type."""
    return expr


def as_text(quoted: str) -> str:
    """PostgreSQL's own text of a value."""
    return f"{quoted}::text"


def cast(duckdb: str) -> Sql:
    """A cast that gives NULL for what cannot be read."""
    return lambda expr: f"TRY_CAST({expr} AS {duckdb})"


def identifier(name: str) -> str:
    """A quoted SQL identifier, the same in PostgreSQL, DuckDB and DataFusion."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


def no_exact_form(expr: str, shown: str) -> str:
    """DuckDB SQL that ends the query and names what cannot be represented.

    Args:
        expr: the column's expression, by which people find it.
        shown: SQL of the value as text.
    """
    return f"error({literal(f'column {expr} holds ')} || {shown} || {literal(f', which {NO_EXACT_FORM}')})"


@dataclass(frozen=True)
class TypeRule:
    """How one column type is read from either side.

    Args:
        duckdb: DuckDB type of the value, as DuckDB writes it; the type in Delta follows from it.
        json_types: DuckDB's ``json_type`` names under which Debezium may write the value.
        from_debezium: DuckDB SQL from the JSON value as VARCHAR to ``duckdb``; NULL when it cannot be read.
        source_select: PostgreSQL expression of the SELECT list, from the quoted column.
        from_source: DuckDB SQL from ADBC's Arrow value of ``source_select`` to ``duckdb``; ends the query with
            `no_exact_form` for a value that cannot be represented.
        from_text: DuckDB SQL from PostgreSQL's text of a value to ``duckdb``, for elements of arrays; None where arrays
            of the type are refused.
        form: what Debezium writes, for people.
        compared: how two values are compared, for people.
        remarks: special values and limits, for people.
    """

    duckdb: str
    json_types: tuple[str, ...]
    from_debezium: Sql
    source_select: Sql = identity
    from_source: Sql = identity
    from_text: Sql | None = None
    form: str = "string"
    compared: str = BY_VALUE
    remarks: str = ""

    @property
    def arrow(self) -> pa.DataType:
        """Arrow type in which the value is written to Delta."""
        return arrow_type(self.duckdb)

    @property
    def delta(self) -> str:
        """The Delta type, as Spark writes it."""
        return delta_type(self.duckdb)

    def differs(self, left: str, right: str) -> str:
        """DuckDB SQL that is true when two values of the type are not the same; 0.0 is not -0.0."""
        pairs = zip([left, *self.also_compared(left)], [right, *self.also_compared(right)], strict=True)
        return f"({' OR '.join(f'{one} IS DISTINCT FROM {other}' for one, other in pairs)})"

    def also_compared(self, expr: str) -> list[str]:
        """DuckDB SQL that tells apart what DuckDB's equality or hash does not: 0.0 and -0.0; NULL, [] and [NULL]."""
        if self.duckdb in FLOATS:
            return [_is_negative_zero(expr)]
        if element := element_of(self.duckdb):
            zeros = [f"list_transform({expr}, lambda one: {_is_negative_zero('one')})"] if element in FLOATS else []
            return [f"len({expr})", *zeros]
        floats = [name for name, kind in fields_of(self.duckdb) if kind in FLOATS]
        return [_is_negative_zero(field_sql(expr, name)) for name in floats]


def field_sql(struct: str, name: str) -> str:
    """DuckDB SQL of a struct's field; a dot would be read as table and column where a table has the struct's name."""
    return f"struct_extract({struct}, {literal(name)})"


def _is_negative_zero(expr: str) -> str:
    return f"({expr} = 0 AND signbit({expr}))"


FLOATS = ("FLOAT", "DOUBLE")
"""DuckDB types that tell 0.0 from -0.0 and know NaN."""
_DELTA = {
    "SMALLINT": "short",
    "INTEGER": "integer",
    "BIGINT": "long",
    "FLOAT": "float",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
    "VARCHAR": "string",
    "BLOB": "binary",
    "DATE": "date",
    "TIMESTAMP": "timestamp_ntz",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}


def delta_type(duckdb: str) -> str:
    """Delta's name of a DuckDB type."""
    if element := element_of(duckdb):
        return f"array<{delta_type(element)}>"
    if fields := fields_of(duckdb):
        return f"struct<{', '.join(f'{name}: {delta_type(kind)}' for name, kind in fields)}>"
    return _DELTA.get(duckdb, duckdb.lower())


def arrow_type(duckdb: str) -> pa.DataType:
    """Arrow type of a DuckDB type."""
    import pyarrow as pa

    if element := element_of(duckdb):
        return pa.list_(arrow_type(element))
    if fields := fields_of(duckdb):
        return pa.struct([(name, arrow_type(kind)) for name, kind in fields])
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
