"""A value that PostgreSQL filled into old rows is written down exactly, or not at all."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from test_infra.cdc.sources.postgres.generation import literals
from test_infra.cdc.types import rule_for
from test_infra.cdc.types.table import Column

VALUES: list[tuple[str, pa.DataType, Any]] = [
    ("integer", pa.int32(), -7),
    ("bigint", pa.int64(), 2**62),
    ("boolean", pa.bool_(), True),
    ("text", pa.string(), 'it\'s "so"\n\\ ☃'),
    ("text", pa.string(), ""),
    ("double precision", pa.float64(), 0.1 + 0.2),
    ("double precision", pa.float64(), -0.0),
    ("double precision", pa.float64(), math.inf),
    ("real", pa.float32(), 1.100000023841858),
    ("bytea", pa.binary(), b"\x00\xff'\\x"),
    ("date", pa.date32(), date(2026, 2, 28)),
    ("timestamp without time zone", pa.timestamp("us"), datetime(2026, 1, 2, 3, 4, 5, 678901)),
    ("timestamp with time zone", pa.timestamp("us", "UTC"), datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
    ("text[]", pa.list_(pa.string()), ["a,b", "", None, "NULL", "'q'", "[x]", '"', "\\", " "]),
    ("integer[]", pa.list_(pa.string()), ["1", None, "3"]),
    ("integer[]", pa.list_(pa.string()), []),
    ("double precision[]", pa.list_(pa.string()), ["0.1", "-0", "Infinity"]),
    ("boolean[]", pa.list_(pa.string()), ["true", None]),
    ("numeric(12,2)", pa.string(), "1.50"),
    ("jsonb", pa.string(), '{"a": [1, "\\n"]}'),
    ("interval", pa.list_(pa.int64()), [1, 2, 0]),
    ("point", pa.list_(pa.float64()), [1.5, -0.0]),
]


@pytest.mark.parametrize(("kind", "arrow", "value"), VALUES)
def test_a_filled_value_is_what_its_text_says(kind: str, arrow: pa.DataType, value: Any) -> None:
    column = Column("lsn", kind)
    rule, rows = rule_for(column), pa.table({"lsn": pa.array([value], arrow)})
    text = literals(rows, [column])["lsn"]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("rows", rows)
        pair = f"SELECT {rule.from_source('lsn')} AS wanted, CAST({text} AS {rule.duckdb}) AS found FROM rows"
        found = connection.sql(pair).to_arrow_table()
    assert repr(found["found"].to_pylist()) == repr(found["wanted"].to_pylist()) != "[None]"


def test_nan_is_filled() -> None:
    assert literals(pa.table({"v": [math.nan]}), [Column("v", "double precision")]) == {"v": "'nan'"}


def test_null_is_not_filled() -> None:
    assert literals(pa.table({"v": pa.array([None], pa.int32())}), [Column("v", "integer")]) == {}


def test_what_has_no_exact_form_is_left_to_parity() -> None:
    far = pa.table({"v": pa.array([2**31 - 1], pa.int32()).cast(pa.date32())})
    assert literals(far, [Column("v", "date")]) == {}
