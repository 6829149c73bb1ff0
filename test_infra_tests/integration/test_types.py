"""Every supported type through real Debezium, by snapshot and by stream: parity, and values looked at by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from test_infra.base.deadline import Deadline
from test_infra.cdc.judge import parity
from test_infra.cdc.judge.differences import TableParity
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.load import control as load
from test_infra.cdc.pipeline.spec import LoadSpec, PipelineSpec, SourceSpec
from test_infra_tests.running import Running, prepared

pytestmark = pytest.mark.ci(reason="every type through a pipeline of its own; test_stream has the common ones")

DDL = Path(__file__).parents[2] / "test_infra" / "defs" / "types" / "types.sql"
STACK = "testtypes"
SPEC = PipelineSpec(
    name="types",
    tables=["types", "derived"],
    source=SourceSpec(ddl=DDL),
    load=LoadSpec(operations=2_000, rows_before=300, background_rate_per_s=0),
)
ROWS, OPERATIONS = 300, 2_000
BY_SNAPSHOT, BY_STREAM, FROM_NULL, TO_NULL, DELETED, BEFORE_CHRIST = -1, -2, -3, -4, -5, -6
# Column, what PostgreSQL reads, and what must be in Delta, written down without our rules.
SPOTS = [
    ("smallint_value", "-32768", "-32768"),
    ("oid_value", "4294967295", "4294967295"),
    ("real_value", "1e-45", "1e-45"),
    ("double_precision", "-0", "-0.0"),
    ("numeric_12_2", "-9999999999.99", "-9999999999.99"),
    ("numeric_any", "-Infinity", "-Infinity"),
    ("numeric_50_2", "1" * 48 + ".10", "1" * 48 + ".1"),
    ("numeric_3_minus_2", "-12345", "-12300"),
    ("money_value", "-92233720368547758.08", "-92233720368547758.08"),
    ("bit_1", "1", "true"),
    ("bit_9", "100000001", "100000001"),
    ("char_5", "ab", "ab   "),
    ("words", "", ""),
    ("varchar_10", " 🦆 ", " 🦆 "),
    ("uuid_value", "0B6C1D1E-7A55-4C3F-9F0E-1C2D3E4F5A6B", "0b6c1d1e-7a55-4c3f-9f0e-1c2d3e4f5a6b"),
    ("bytea_value", "\\x00ff", "\\x00\\xFF"),
    ("json_value", '{"b":1,"a":2,"a":3 }', '{"b":1,"a":2,"a":3 }'),
    ("jsonb_value", '{"b":1,"a":2,"a":3 }', '{"a": 3, "b": 1}'),
    ("day", "infinity", "262142-12-31"),
    ("time_of_day", "24:00", "86400000000"),
    ("time_3", "12:34:56.1234", "45296123000"),
    ("timestamp_any", "0044-03-15 12:00:00.123456 BC", "0044-03-15 (BC) 12:00:00.123456"),
    ("timestamp_0", "infinity", "infinity"),
    ("timestamp_2", "2024-02-29 12:34:56.126", "2024-02-29 12:34:56.13"),
    ("timestamptz_any", "2024-10-27 02:30:00.1+02", "2024-10-27 00:30:00.1+00"),
    ("timestamptz_3", "-infinity", "-infinity"),
    ("interval_value", "-1 year -2 mons +3 days -00:00:00.5", "{'months': -14, 'days': 3, 'microseconds': -500000}"),
    ("mood", 'it\'s "fine", {yes}', 'it\'s "fine", {yes}'),
    ("of_domain", "1.5", "1.500"),
    ("inet_value", "10.0.0.1/32", "10.0.0.1"),
    ("cidr_value", "10.0.0.0/8", "10.0.0.0/8"),
    ("macaddr8", "08002B:0102030405", "08:00:2b:01:02:03:04:05"),
    ("int4range", "[1,5]", "[1,6)"),
    ("numrange", "[1.0,5.50)", "[1,5.5)"),
    ("tstzrange", "[2024-01-01 00:00+02,)", '["2023-12-31 22:00:00+00",)'),
    ("nummultirange", "{[1.0,3),[5,8)}", "{[1,3),[5,8)}"),
    ("point_value", "(-0,1e300)", "{'x': -0.0, 'y': 1e+300}"),
    ("circle_value", "<(1,2),3>", "{'x': 1.0, 'y': 2.0, 'radius': 3.0}"),
    ("integer_value_list", "{1,NULL,3}", "[1, NULL, 3]"),
    ("words_list", '{a,NULL,"NULL",""}', "[a, NULL, 'NULL', '']"),
    ("double_precision_list", "{}", "[]"),
]
BIG = bytes(range(256)) * 4_096
COLUMNS, LITERALS, EXPECTED = zip(*SPOTS, strict=True)


@dataclass
class Live(Running):
    """A running pipeline over one table of all types."""

    def insert(self, key: int) -> None:
        self.sql(*inserted(key))

    def check(self, table: str = "types") -> TableParity:
        return parity.check(self.pipeline, [table], timeout_s=60).tables[table]

    def mirror(self, key: int, *columns: str, table: str = "types") -> list[tuple[Any, ...]]:
        """Values as DuckDB writes them; the mirror has caught up when a parity check has just ended."""
        rows = open_table(self.folders.mirror(table)).dataset()
        shown = ", ".join(f"{column}::VARCHAR" for column in columns)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("mirror", rows)
            return connection.execute(f"SELECT {shown} FROM mirror WHERE id = {key}").fetchall()

    def quarantined(self) -> list[str]:
        return [row["reason"] for row in open_table(self.folders.quarantine).dataset().to_table(["reason"]).to_pylist()]


def inserted(key: int) -> tuple[str, *tuple[object, ...]]:
    places = ", ".join(["%s"] * len(COLUMNS))
    return (f"INSERT INTO types (id, {', '.join(COLUMNS)}) VALUES (%s, {places})", key, *LITERALS)


@pytest.fixture(scope="module")
def live(test_home: Path) -> Iterator[Live]:
    with prepared(Live, SPEC, STACK) as pipeline:
        pipeline.unsettle()
        pipeline.insert(BY_SNAPSHOT)
        pipeline.sql("INSERT INTO derived (id, day) VALUES (%s, '0044-03-15 BC')", BEFORE_CHRIST)
        pipeline.capture()
        load.start(pipeline.pipeline)
        load.wait_bulk(pipeline.pipeline, Deadline(120))
        yield pipeline


def test_edge_values_of_every_type_arrive_exactly(live: Live) -> None:
    found = live.check()
    assert live.quarantined() == []
    assert found.green, found
    assert found.source_rows > ROWS
    assert found.changes > ROWS + OPERATIONS / 3


def test_a_day_bc_that_the_snapshot_makes_ad_is_a_value_fault_until_the_stream_mends_it(live: Live) -> None:
    found = live.check("derived")
    assert found.counts == {Verdict.VALUE: 1}, found
    (difference,) = found.differences
    assert (difference.key, difference.column) == ({"id": str(BEFORE_CHRIST)}, "day")
    live.sql("UPDATE derived SET integer_value = 1 WHERE id = %s", BEFORE_CHRIST)
    assert live.check("derived").green
    assert live.mirror(BEFORE_CHRIST, "day", table="derived") == [("0044-03-15 (BC)",)]


def test_values_by_hand_through_snapshot_and_stream_and_to_and_from_null(live: Live) -> None:
    live.insert(BY_STREAM)
    live.sql("INSERT INTO types (id) VALUES (%s)", FROM_NULL)
    changes = ", ".join(f"{column} = %s" for column in COLUMNS)
    live.sql(f"UPDATE types SET {changes} WHERE id = %s", *LITERALS, FROM_NULL)
    live.insert(TO_NULL)
    live.sql(f"UPDATE types SET {', '.join(f'{column} = NULL' for column in COLUMNS)} WHERE id = %s", TO_NULL)
    live.insert(DELETED)
    live.sql("DELETE FROM types WHERE id = %s", DELETED)
    live.sql("UPDATE types SET bytea_value = %s WHERE id = %s", BIG, TO_NULL)
    found = live.check()
    assert found.green, found
    for key in (BY_SNAPSHOT, BY_STREAM, FROM_NULL):
        ((*values,),) = live.mirror(key, *COLUMNS)
        assert dict(zip(COLUMNS, values, strict=True)) == dict(zip(COLUMNS, EXPECTED, strict=True)), key
    others = [column for column in COLUMNS if column != "bytea_value"]
    assert live.mirror(TO_NULL, *others, "md5(bytea_value)") == [(*[None] * len(others), _md5(BIG))]
    assert live.mirror(DELETED, "id") == []


def test_an_enum_label_added_while_streaming_arrives(live: Live) -> None:
    live.sql("ALTER TYPE mood ADD VALUE 'new'")
    live.sql("INSERT INTO types (id, mood) VALUES (-10, 'new')")
    assert live.check().green
    assert live.mirror(-10, "mood") == [("new",)]


def test_generated_columns_are_named_and_not_captured(live: Live) -> None:
    assert live.schema("derived").generated == ("stored", "virtual")
    assert not {"stored", "virtual"} & set(open_table(live.folders.mirror("derived")).schema().names)
    assert live.check("derived").changes > ROWS + OPERATIONS / 3


def test_what_debezium_changes_in_silence_is_a_value_fault(live: Live) -> None:
    live.sql("INSERT INTO types (id, interval_value) VALUES (-20, 'infinity')")
    found = live.check()
    live.sql("DELETE FROM types WHERE id = -20")
    assert found.counts == {Verdict.VALUE: 1}
    assert (found.differences[0].key, found.differences[0].column) == ({"id": "-20"}, "interval_value")
    assert live.check().green


@pytest.mark.parametrize(
    ("key", "column", "value", "quarantined"),
    [
        (-30, "numeric_12_2", "NaN", "after.numeric_12_2 is no DECIMAL(12,2)"),
        (-31, "day", "300000-01-01", "after.day is no DATE"),
        # Debezium sends it as infinity; parity sees the source's own value.
        (-32, "timestamp_any", "294276-01-01", None),
        (-33, "integer_value_list", "{{1,2},{3,4}}", None),
        (-34, "words_list", "{{a},{b}}", "after.words_list is no VARCHAR[]"),
    ],
)
def test_a_value_that_delta_cannot_hold_is_red_by_name(
    live: Live, key: int, column: str, value: str, quarantined: str | None
) -> None:
    before = Counter(live.quarantined())
    live.sql(f"INSERT INTO types (id, {column}) VALUES (%s, %s)", key, value)
    found = live.check()
    refused = list((Counter(live.quarantined()) - before).elements())
    live.sql(f"UPDATE types SET {column} = NULL WHERE id = %s", key)
    live.sql("DELETE FROM types WHERE id = %s", key)
    assert live.check().green
    assert found.counts == {Verdict.UNKNOWN: 1}
    assert f'column "{column}" holds' in found.reason
    assert refused == ([quarantined] if quarantined else [])


def _md5(value: bytes) -> str:
    import hashlib

    return hashlib.md5(value, usedforsecurity=False).hexdigest()
