"""Sums by bucket: equal for equal rows in any order, unequal for any difference, and the bucket is the key's."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from test_infra.cdc.judge import sums
from test_infra.cdc.types import rule_for
from test_infra.cdc.types.table import Column, TableSchema

KEY = Column("id", "bigint", nullable=False, key_position=1)
COLUMNS = (
    KEY,
    Column("whole", "integer"),
    Column("ratio", "double precision"),
    Column("single", "real"),
    Column("amount", "numeric(12,2)"),
    Column("name", "text"),
    Column("raw", "bytea"),
    Column("ok", "boolean"),
)
SCHEMA = TableSchema("public", "t", COLUMNS)
Row = tuple[Any, ...]
DATABASE = duckdb.connect(":memory:")

rows = st.tuples(
    st.integers(-3, 3),
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.floats(),
    st.none() | st.floats(width=32),
    st.none() | st.decimals(min_value=-1000, max_value=1000, places=2),
    st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    st.none() | st.binary(max_size=3),
    st.none() | st.booleans(),
)
relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def arrow(table: list[Row]) -> pa.Table:
    fields = [pa.field(column.name, rule_for(column).arrow) for column in COLUMNS]
    values = zip(*table, strict=True) if table else [()] * len(COLUMNS)
    return pa.Table.from_arrays(
        [pa.array(list(of_column), field.type) for of_column, field in zip(values, fields, strict=True)],
        schema=pa.schema(fields),
    )


def unequal(left: list[Row], right: list[Row]) -> set[int]:
    with DATABASE.cursor() as connection:
        for name, table in (("l", left), ("r", right)):
            connection.register(f"{name}_rows", arrow(table))
            connection.execute(f"CREATE TEMP TABLE {name} AS {sums.sums_sql(f'{name}_rows', COLUMNS)}")
        return {bucket for (bucket,) in connection.execute(sums.unequal_sql(["l"], ["r"])).fetchall()}


def buckets(table: list[Row]) -> list[int]:
    with DATABASE.cursor() as connection:
        connection.register("rows", arrow(table))
        query = f"SELECT {sums.bucket_sql(COLUMNS)} FROM rows"
        return [bucket for (bucket,) in connection.execute(query).fetchall()]


def bits(row: Row) -> tuple[Any, ...]:
    """A row as what must tell it from others: one NaN, two zeros."""
    return tuple(
        "nan" if isinstance(value, float) and math.isnan(value)
        else struct.pack("d", value) if isinstance(value, float)
        else value
        for value in row
    )  # fmt: skip


@relaxed
@given(st.lists(rows, max_size=12), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(table: list[Row], random: Any) -> None:
    shuffled = list(table)
    random.shuffle(shuffled)
    assert unequal(table, shuffled) == set()


@relaxed
@given(st.lists(rows, max_size=12), rows, rows)
def test_any_other_value_is_seen_in_the_bucket_of_its_key(table: list[Row], one: Row, other: Row) -> None:
    assume(bits(one) != bits(other))
    assert unequal([*table, one], [*table, other]) == set(buckets([one, other]))


@relaxed
@given(st.lists(rows, max_size=12), rows)
def test_rows_lost_or_doubled_are_seen(table: list[Row], row: Row) -> None:
    assert unequal([*table, row], table) == set(buckets([row]))
    # Two equal rows too many would cancel each other in an XOR.
    assert unequal([*table, row, row], table) == set(buckets([row]))


PLAIN: Row = (1, 5, 0.5, 0.5, Decimal("1.00"), "a", b"a", True)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (1, None), (2, -0.0), (2, math.nan), (2, math.inf), (2, math.nextafter(0.5, 1)), (3, -0.0),
        (4, Decimal("1.01")),
        (5, "a "), (5, ""), (5, None), (5, "A"), (6, b"a\0"), (6, b""), (7, None),
    ],
)  # fmt: skip
def test_small_differences_are_seen(place: int, value: Any) -> None:
    base = list(PLAIN)
    if value == 0.0:
        base[place] = 0.0
    changed = list(base)
    changed[place] = value
    assert unequal([tuple(base)], [tuple(changed)]) == set(buckets([PLAIN]))


@pytest.mark.parametrize("place", range(1, len(COLUMNS)))
def test_values_swapped_between_rows_of_one_bucket_are_seen(place: int) -> None:
    other: Row = (2, 6, 1.5, 1.5, Decimal("2.00"), "b", b"b", False)
    candidates = buckets([(key, *PLAIN[1:]) for key in range(1, 100_000)])
    same_bucket = 1 + candidates.index(candidates[0], 1)
    one, two = [1, *PLAIN[1:]], [same_bucket, *other[1:]]
    swapped = [list(one), list(two)]
    swapped[0][place], swapped[1][place] = two[place], one[place]
    assert unequal([tuple(one), tuple(two)], [tuple(row) for row in swapped]) == set(buckets([tuple(one)]))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("INTEGER[]", "NULL [] [NULL] [0] [0,0] [1] [0,1] [1,0] [0,NULL] [NULL,0] [NULL,NULL]"),
        ("DOUBLE[]", "NULL [] [NULL] ['0'] ['-0.0'] ['0','-0.0'] ['-0.0','0'] ['nan']"),
        ("VARCHAR[]", "NULL [] [NULL] [''] ['',''] ['a'] ['a','b'] ['b','a'] ['ab']"),
        ("STRUCT(a INTEGER, b DOUBLE)", "NULL {a:NULL,b:NULL} {a:0,b:NULL} {a:NULL,b:0} {a:0,b:0} {a:0,b:'-0.0'}"),
    ],
)
def test_no_two_values_of_a_nested_type_have_one_hash(kind: str, values: str) -> None:
    hashes = {
        DATABASE.execute(
            f"SELECT hash({', '.join(sums._parts('v', kind))}) FROM (SELECT ({value})::{kind} AS v)"
        ).fetchone()
        for value in values.split()
    }
    assert len(hashes) == len(values.split())
