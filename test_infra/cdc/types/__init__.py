"""One table of types: how a PostgreSQL type travels through Debezium and through ADBC, and what it is in Delta.

Both ways end in the same DuckDB type, so that source and sink are compared as values. A type whose way is not exact has
no rule and is refused before anything starts. docs/types.md is made from this table.
It relies on the connector's ``decimal.handling.mode=string``, ``time.precision.mode=microseconds``,
``binary.handling.mode=bytes``, ``interval.handling.mode=string`` and ``include.unknown.datatypes=true``.
"""

from test_infra.cdc.types.dialect import check_supported, dialect_of, rule_for
from test_infra.cdc.types.families import (
    FAMILIES,
    REFUSED,
    SUPPORTED,
    Family,
    Refused,
    UnsupportedColumn,
)
from test_infra.cdc.types.nested import element_of, fields_of
from test_infra.cdc.types.rule import FLOATS, NO_EXACT_FORM, UNAVAILABLE, TypeRule, field_sql, identifier, literal
from test_infra.cdc.types.table_id import TableId, parse_table, table_id
from test_infra.cdc.types.transactions import widen, widen_sql

__all__ = [
    "FAMILIES",
    "FLOATS",
    "NO_EXACT_FORM",
    "REFUSED",
    "SUPPORTED",
    "UNAVAILABLE",
    "Family",
    "Refused",
    "TableId",
    "TypeRule",
    "UnsupportedColumn",
    "check_supported",
    "dialect_of",
    "element_of",
    "field_sql",
    "fields_of",
    "identifier",
    "literal",
    "parse_table",
    "rule_for",
    "table_id",
    "widen",
    "widen_sql",
]
