from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_infra.cdc.stream.parse import connect
from test_infra.cdc.table import Column
from test_infra.cdc.types import UnsupportedColumn, rule_for, widen, widen_sql

CASES = [
    ("smallint", "-32768", "-32768"),
    ("integer", "2147483647", "2147483647"),
    ("bigint", "-9223372036854775808", "-9223372036854775808"),
    ("numeric(12,2)", "1234567890.12", "1234567890.12"),
    ("numeric(38,0)", "9" * 38, "9" * 38),
    ("numeric(10,8)", "1E-8", "0.00000001"),
    ("real", "1.1", "1.1"),
    ("double precision", "-1.7976931348623157e308", "-1.7976931348623157e+308"),
    ("double precision", "NaN", "nan"),
    ("double precision", "Infinity", "inf"),
    ("boolean", "true", "true"),
    ("text", "  häß\u2028 ", "  häß\u2028 "),
    ("character(3)", "a  ", "a  "),
    ("character varying(10)", "", ""),
    ("uuid", "0b6c1d1e-7a55-4c3f-9f0e-1c2d3e4f5a6b", "0b6c1d1e-7a55-4c3f-9f0e-1c2d3e4f5a6b"),
    ("date", "20000", "2024-10-04"),
    ("date", "-719162", "0001-01-01"),
    ("timestamp(0) without time zone", "1700000000123456", "2023-11-14 22:13:20.123456"),
    ("timestamp without time zone", "-1", "1969-12-31 23:59:59.999999"),
    ("timestamp with time zone", "2026-11-21T04:18:22.123456Z", "2026-11-21 04:18:22.123456+00"),
    ("jsonb", '{"a": 1}', '{"a": 1}'),
    ("json", '{"a":1 }', '{"a":1 }'),
    ("bytea", "AAH/", "\\x00\\x01\\xFF"),
]
UNREADABLE = [
    ("smallint", "32768"),
    ("integer", "x"),
    ("bigint", "9223372036854775808"),
    ("numeric(12,2)", "1.234"),
    ("numeric(12,2)", "12345678901.00"),
    ("numeric(12,2)", "NaN"),
    ("boolean", "maybe"),
    ("uuid", "not-a-uuid"),
    ("date", "99999999999"),
    ("timestamp without time zone", "soon"),
    ("timestamp with time zone", "2026-13-01T00:00:00Z"),
    ("bytea", "!"),
]


@pytest.mark.parametrize(("declared", "raw", "expected"), CASES)
def test_a_debezium_scalar_becomes_the_typed_value(declared: str, raw: str, expected: str) -> None:
    rule = rule_for(Column("c", declared))
    query = f"SELECT CAST({rule.from_debezium('$raw')} AS VARCHAR), typeof({rule.from_debezium('$raw')})"
    assert connect().execute(query, {"raw": raw}).fetchall() == [(expected, rule.duckdb)]


@pytest.mark.parametrize(("declared", "raw"), UNREADABLE)
def test_what_cannot_be_read_is_null_and_never_another_value(declared: str, raw: str) -> None:
    query = f"SELECT {rule_for(Column('c', declared)).from_debezium('$raw')}"
    assert connect().execute(query, {"raw": raw}).fetchall() == [(None,)]


@pytest.mark.parametrize(("declared", "_raw", "_expected"), CASES)
def test_duckdb_and_delta_name_the_same_type(declared: str, _raw: str, _expected: str) -> None:
    rule = rule_for(Column("c", declared))
    table = connect().sql(f"SELECT CAST(NULL AS {rule.duckdb}) AS c").to_arrow_table()
    assert table.schema.field("c").type == rule.arrow


@pytest.mark.parametrize(
    "declared", ["numeric", "numeric(39,2)", "numeric(5,-2)", "money", "integer[]", "inet", "interval", "mood"]
)
def test_a_type_without_a_rule_is_refused_by_name(declared: str) -> None:
    with pytest.raises(UnsupportedColumn, match="column price of type"):
        rule_for(Column("price", declared))


@given(st.integers(0, 2**40), st.integers(-(2**31) + 1, 2**31 - 1))
def test_a_widened_id_is_the_nearest_across_any_wrap_around(reference: int, distance: int) -> None:
    actual = reference + distance
    if actual >= 0:
        assert widen(actual & 0xFFFFFFFF, reference) == actual


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**40))
def test_duckdb_widens_as_python_does(tx_id: int, reference: int) -> None:
    query = f"SELECT {widen_sql('$tx::BIGINT', '$reference::BIGINT')}"
    found = CONNECTION.execute(query, {"tx": tx_id, "reference": reference}).fetchall()
    assert found == [(widen(tx_id, reference),)]


CONNECTION = connect()
