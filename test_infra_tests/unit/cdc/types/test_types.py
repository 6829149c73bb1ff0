from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_infra.cdc.stream.parse import memory_db
from test_infra.cdc.types import FAMILIES, UnsupportedColumn, rule_for, widen, widen_sql
from test_infra.cdc.types.table import Column

CONNECTION = memory_db()
CASES = [
    # (declared type, what Debezium writes, the value): measured with the stack's Debezium, snapshot and stream
    ("smallint", "-32768", "-32768"),
    ("integer", "2147483647", "2147483647"),
    ("bigint", "-9223372036854775808", "-9223372036854775808"),
    ("oid", "4294967295", "4294967295"),
    ("numeric(12,2)", "1234567890.12", "1234567890.12"),
    ("numeric(38,0)", "9" * 38, "9" * 38),
    ("numeric(10,8)", "1E-8", "0.00000001"),
    ("numeric(3,-2)", "12300." + "0" * 2048, "12300"),
    ("numeric(2,4)", "0.0012", ".0012"),
    ("numeric(50,2)", "1" * 48 + ".10", "1" * 48 + ".1"),
    ("numeric", "0.000", "0"),
    ("numeric", "-100.50", "-100.5"),
    ("numeric", "1000", "1000"),
    ("numeric", "0." + "0" * 19 + "1", "0." + "0" * 19 + "1"),
    ("numeric", "NAN", "NaN"),
    ("numeric", "POSITIVE_INFINITY", "Infinity"),
    ("numeric", "NEGATIVE_INFINITY", "-Infinity"),
    ("money", "-92233720368547758.08", "-92233720368547758.08"),
    ("real", "1.1", "1.1"),
    ("real", "1.4E-45", "1e-45"),
    ("double precision", "-1.7976931348623157e308", "-1.7976931348623157e+308"),
    ("double precision", "4.9E-324", "5e-324"),
    ("double precision", "-0.0", "-0.0"),
    ("double precision", "NaN", "nan"),
    ("double precision", "Infinity", "inf"),
    ("boolean", "true", "true"),
    ("bit(1)", "false", "false"),
    ("bit(9)", "AQE=", "100000001"),
    ("bit(9)", "", "000000000"),
    ("bit(9)", "/gE=", "111111110"),
    ("bit(64)", "qqqqqqqqqqo=", "10" * 32),
    ("bit(20)", "AQ==", "0" * 19 + "1"),
    ("text", "  häß\u2028 ", "  häß\u2028 "),
    ("character(3)", "a  ", "a  "),
    ("character varying(10)", "", ""),
    ("uuid", "0b6c1d1e-7a55-4c3f-9f0e-1c2d3e4f5a6b", "0b6c1d1e-7a55-4c3f-9f0e-1c2d3e4f5a6b"),
    ("date", "20000", "2024-10-04"),
    ("date", "-719162", "0001-01-01"),
    ("date", "-735160", "0044-03-15 (BC)"),
    ("date", "2932897", "10000-01-01"),
    ("date", "2146033979", "262142-12-31"),
    ("date", "-622191234", "262142-12-31"),
    ("date", "-2147472691", "262143-01-01 (BC)"),
    ("date", "-625821272", "262143-01-01 (BC)"),
    ("time without time zone", "86400000000", "86400000000"),
    ("time(3) without time zone", "45296123000", "45296123000"),
    ("timestamp(0) without time zone", "1700000000123456", "2023-11-14 22:13:20.123456"),
    ("timestamp without time zone", "-1", "1969-12-31 23:59:59.999999"),
    ("timestamp without time zone", "9223372036854775807", "infinity"),
    ("timestamp without time zone", "-9223372036854775808", "-infinity"),
    ("timestamp without time zone", "-63517780799876544", "0044-03-15 (BC) 12:00:00.123456"),
    ("timestamp without time zone", "253402300800000000", "10000-01-01 00:00:00"),
    ("timestamp with time zone", "2026-11-21T04:18:22.123456Z", "2026-11-21 04:18:22.123456+00"),
    ("timestamp with time zone", "infinity", "infinity"),
    ("timestamp with time zone", "-infinity", "-infinity"),
    ("timestamp with time zone", "-0043-03-15T12:00:00.123456Z", "0044-03-15 (BC) 12:00:00.123456+00"),
    ("timestamp with time zone", "+200000-01-01T00:00:00Z", "200000-01-01 00:00:00+00"),
    ("interval", "P0Y-10M-3DT4H5M6.789S", "{'months': -10, 'days': -3, 'microseconds': 14706789000}"),
    ("interval", "P0Y0M0DT0H0M-0.5S", "{'months': 0, 'days': 0, 'microseconds': -500000}"),
    ("interval year to month", "P1Y2M0DT0H0M0S", "{'months': 14, 'days': 0, 'microseconds': 0}"),
    ("jsonb", '{"a": 1}', '{"a": 1}'),
    ("json", '{"a":1 ,"a":2}', '{"a":1 ,"a":2}'),
    ("bytea", "AAH/", "\\x00\\x01\\xFF"),
    ("bytea", "", ""),
    ("inet", "10.0.0.1/8", "10.0.0.1/8"),
    ("numrange", "[1.00,5.10)", "[1,5.1)"),
    ("numrange", "(,100]", "(,100]"),
    ("int4multirange", "e1sxLDMpLFs1LDgpfQ==", "{[1,3),[5,8)}"),
    ("nummultirange", "e1sxLjAsMyksWzUsOCl9", "{[1,3),[5,8)}"),
    ("point", '{"x":-0.0,"y":1.0E300,"wkb":"AQ==","srid":null}', "{'x': -0.0, 'y': 1e+300}"),
    ("point", '{"x":"NaN","y":"Infinity","wkb":"AQ==","srid":null}', "{'x': nan, 'y': inf}"),
    ("line", '{"a":1.0,"b":2.0,"c":3.0}', "{'a': 1.0, 'b': 2.0, 'c': 3.0}"),
    ("circle", '{"center":{"x":1.0,"y":2.0},"radius":3.0}', "{'x': 1.0, 'y': 2.0, 'radius': 3.0}"),
    ("integer[]", "[1,null,3]", "[1, NULL, 3]"),
    ("integer[]", "[]", "[]"),
    ("double precision[]", '["NaN",-0.0,null]', "[nan, -0.0, NULL]"),
    ("text[]", '["a",null,"null",""]', "[a, NULL, 'null', '']"),
    ("bytea[]", '["AP8=",null,""]', "['\\\\x00\\\\xFF', NULL, '']"),
]
UNREADABLE = [
    ("smallint", "32768"),
    ("integer", "x"),
    ("bigint", "9223372036854775808"),
    ("numeric(12,2)", "1.234"),
    ("numeric(12,2)", "12345678901.00"),
    ("numeric(12,2)", "NAN"),
    ("numeric(3,-2)", "12300.5"),
    ("numeric", "twelve"),
    ("boolean", "maybe"),
    ("uuid", "not-a-uuid"),
    ("date", "99999999999"),
    ("date", "95026236"),
    ("date", "2145042905"),
    ("date", "-2440589"),
    ("timestamp without time zone", "soon"),
    ("timestamp without time zone", "-9223372036853775810"),  # 294276-12-31, wrapped around
    ("timestamp with time zone", "2026-13-01T00:00:00Z"),
    ("timestamp with time zone", "+294276-12-31T23:59:59.999999Z"),
    ("interval", "P1M"),
    ("bytea", "!"),
    ("int4multirange", "!"),
    ("point", '{"x":1.0}'),
    ("integer[]", "[1,2147483648]"),
    ("integer[]", '["1"]'),
    ("integer[]", "[[1]]"),
    ("text[]", '["[Ljava.lang.String;@5ab0faf8"]'),
    ("text[]", '["__debezium_unavailable_value"]'),
]
REFUSED = [
    ("numeric(12,2)[]", "NULL for every array"), ("varbit", "leading zeros"), ("bit varying(4)", "leading zeros"),
    ("time with time zone", "offset"), ("time(3) with time zone", "offset"), ("integer[][]", "inner array"),
    ("timestamp without time zone[]", "shifts"), ("date[]", "shifts"), ("time without time zone[]", "milliseconds"),
    ("money[]", "leaves such columns out"), ("interval[]", "leaves such columns out"), ("box", "WKB"),
    ("polygon", "WKB"), ("xml", "not been proved"), ("hstore", "not been proved"), ("ext.citext", "not been proved"),
    ("vector(3)", "not been proved"), ("tsquery", "no rule"), ("xid8", "no rule"), ("mood", "no rule"),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "raw", "expected"), CASES)
def test_a_debezium_scalar_becomes_the_typed_value(declared: str, raw: str, expected: str) -> None:
    rule = rule_for(Column("c", declared))
    query = f"SELECT CAST({rule.from_debezium('$raw')} AS VARCHAR), typeof({rule.from_debezium('$raw')})"
    assert CONNECTION.execute(query, {"raw": raw}).fetchall() == [(expected, rule.duckdb)]


@pytest.mark.parametrize(("declared", "raw"), UNREADABLE)
def test_what_cannot_be_read_is_null_and_never_another_value(declared: str, raw: str) -> None:
    query = f"SELECT {rule_for(Column('c', declared)).from_debezium('$raw')}"
    assert CONNECTION.execute(query, {"raw": raw}).fetchall() == [(None,)]


@pytest.mark.parametrize(("declared", "_raw", "_expected"), CASES)
def test_duckdb_and_delta_name_the_same_type(declared: str, _raw: str, _expected: str) -> None:
    rule = rule_for(Column("c", declared))
    table = CONNECTION.sql(f"SELECT CAST(NULL AS {rule.duckdb}) AS c").to_arrow_table()
    assert table.schema.field("c").type == rule.arrow


@pytest.mark.parametrize(("declared", "reason"), REFUSED)
def test_a_type_without_a_rule_is_refused_by_name_and_with_its_reason(declared: str, reason: str) -> None:
    with pytest.raises(UnsupportedColumn, match="column price of type") as refused:
        rule_for(Column("price", declared))
    assert declared in refused.value.what
    assert reason in refused.value.details["reason"]


@pytest.mark.parametrize(
    ("base", "expected"),
    [("numeric(8,3)", "DECIMAL(8,3)"), ("enum", "VARCHAR"), ("integer[]", "INTEGER[]"), ("bit(9)", "VARCHAR")],
)
def test_a_type_with_a_name_of_its_own_has_the_rule_of_what_it_is_made_of(base: str, expected: str) -> None:
    assert rule_for(Column("c", "amount", base=base)).duckdb == expected


@pytest.mark.parametrize(
    "base", ["composite", "composite[]", "enum[]", "domain[]", "range", "multirange", "integer[][]"]
)
def test_what_a_type_is_made_of_can_be_the_reason_to_refuse_it(base: str) -> None:
    with pytest.raises(UnsupportedColumn, match=rf"column c of type thing, which is {re.escape(base)}, is not"):
        rule_for(Column("c", "thing", base=base))


def test_an_example_of_each_family_has_the_rule_of_its_family() -> None:
    for family in FAMILIES:
        found = re.fullmatch(family.pattern, family.example)
        assert found is not None, family.name
        assert rule_for(Column("c", family.example)) == family.rule(found), family.name


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
