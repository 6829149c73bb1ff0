"""`python -m test_infra_tests.unit.cdc.judge.golden_sql` writes the SQL of comparisons of an odd table to golden/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pyarrow as pa

from test_infra.cdc.judge import log_checks
from test_infra.cdc.judge.compare import judge
from test_infra.cdc.judge.sides import Sides
from test_infra.cdc.lake import temporary_tables
from test_infra.cdc.lake.schemas import changes_schema, mirror_schema
from test_infra.cdc.lake.unchanged_values import with_unchanged_values
from test_infra.cdc.sources.postgres import Snapshot
from test_infra.cdc.types.table import Column, TableSchema

FOLDER = Path(__file__).parent / "golden"
ODD = TableSchema(
    "public",
    'an "odd" table',
    (
        Column('the "id"', "bigint", nullable=False, key_position=2),
        Column("it's", "text"),
        Column("lsn", "character varying(10)", nullable=False, key_position=1),
        Column("a b", "numeric(12,2)"),
        Column('p"t', "point"),
        Column("tags", "text[]"),
        Column("ratio", "double precision"),
    ),
)
VISIBLE, INVISIBLE = 500, 2_000
POINT = {"x": 1.0, "y": -0.0}


class Recorder:
    """A connection that remembers what it was asked."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.asked: list[str] = []

    def execute(self, query: str) -> Any:
        self.asked.append(query)
        return self._connection.execute(query)

    def sql(self, query: str) -> Any:
        self.asked.append(query)
        return self._connection.sql(query)

    def register(self, name: str, relation: Any) -> None:
        self._connection.register(name, relation)

    def unregister(self, name: str) -> None:
        self._connection.unregister(name)


def row(number: int, text: str) -> dict[str, Any]:
    values = {"it's": text, "a b": None, 'p"t': POINT, "tags": ["a", None], "ratio": 0.5}
    return {'the "id"': number, "lsn": "k", **values}


def event(op: str, number: int, lsn: int, tx_id: int, *, before: Any = None, after: Any = None, **more: Any) -> Any:
    key = {"lsn": "k", 'the "id"': number}
    place = {"kafka_partition": 0, "kafka_offset": lsn, "batch_id": 0}
    return {"op": op, "key": key, "before": before, "after": after, "lsn": lsn, "tx_id": tx_id, **place, **more} | {
        "snapshot": False
    }


def events() -> list[Any]:
    """Keys 1 and 2 are clean, 3 is dirty. Of 2 a value is left out; of 3 an event between is lost."""
    left_out = {**row(2, ""), "it's": None}
    return [
        event("c", 1, 10, VISIBLE, after=row(1, "log")),
        event("c", 2, 20, VISIBLE, after=row(2, "two")),
        event("u", 2, 30, VISIBLE, before=row(2, "two"), after=left_out, unchanged=["it's"]),
        event("c", 3, 40, VISIBLE, after=row(3, "three")),
        event("u", 3, 50, INVISIBLE, before=row(3, "lost"), after=row(3, "last")),
    ]


def of_a_short_log() -> list[str]:
    """Mirror, log and chain are wrong, so every step runs."""
    return _judged(events(), [row(1, "right"), row(2, "two"), row(3, "three")], [row(1, "right"), row(2, "wrong")])


def of_a_long_log_after_a_truncate() -> list[str]:
    """An invisible truncate makes every key dirty, and only the newest events are a chain."""
    truncate = event("t", 0, 60, INVISIBLE) | {"key": None}
    with patch.object(log_checks, "MOST_CHAINED", 2):
        return _judged([*events()[:2], *events()[3:], truncate], [row(1, "log"), row(2, "two")], [])


def of_a_table_without_a_key() -> list[str]:
    """A row too few, and one too many, before and after a truncate that the source's snapshot does not contain."""
    keyless = replace(ODD, columns=tuple(replace(column, key_position=None) for column in ODD.columns))
    log = [
        event("r", 1, 10, 0, after=row(1, "read")) | {"snapshot": True},
        event("c", 2, 20, VISIBLE, after=row(2, "two")),
        event("t", 0, 30, INVISIBLE) | {"key": None},
        event("c", 3, 40, INVISIBLE, after=row(3, "three")),
    ]
    for place, one in enumerate(log):
        one["key"] = one["key"] and {"_row_tx_id": one["tx_id"], "_row_number": place}
    return _judged(log, [row(1, "read"), row(1, "read")], [], keyless)


def of_the_stream() -> list[str]:
    """Values that events left out, from the mirror, from each other, and from the log."""
    gone = [event("c", 8, 10, VISIBLE, after=row(8, "eight")), event("d", 8, 60, VISIBLE)]
    moved = event("c", 9, 60, VISIBLE, after={**row(9, ""), "it's": None}, unchanged=["it's"])
    changes = pa.Table.from_pylist([*events(), moved], changes_schema(ODD))
    log = pa.Table.from_pylist([*gone, *events(), moved], changes_schema(ODD))
    mirror = pa.Table.from_pylist([row(2, "two") | {"_lsn": 5, "_snapshot": True}], mirror_schema(ODD))
    with duckdb.connect(":memory:") as connection, _numbered_anew():
        recorder: Any = Recorder(connection)
        with_unchanged_values(recorder, changes, ODD, lambda: mirror, lambda: log)
        return recorder.asked


GOLDEN: dict[str, Callable[[], list[str]]] = {
    "judge.sql": of_a_short_log,
    "judge_long_log.sql": of_a_long_log_after_a_truncate,
    "judge_multisets.sql": of_a_table_without_a_key,
    "unchanged_values.sql": of_the_stream,
}


def text(asked: list[str]) -> str:
    """Statements as a file."""
    return "\n\n".join(f"{query.strip()};" for query in asked) + "\n"


def _judged(log: list[Any], source: list[Any], mirror: list[Any], schema: TableSchema = ODD) -> list[str]:
    wanted = mirror_schema(schema)
    of_source = pa.schema([wanted.field(column.name) for column in schema.columns])
    with duckdb.connect(":memory:") as connection, _numbered_anew():
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("source", pa.Table.from_pylist(source, of_source))
        connection.register("mirror", pa.Table.from_pylist(mirror, wanted))
        connection.register("changes", pa.Table.from_pylist(log, changes_schema(schema)))
        recorder: Any = Recorder(connection)
        sides = Sides("source", "mirror", "changes", Snapshot(1_000, 1_000), before_images=bool(schema.key))
        judge(recorder, sides, schema)
        return recorder.asked


def _numbered_anew() -> Any:
    return patch.object(temporary_tables, "_WORKS", count(1))


if __name__ == "__main__":
    for name, record in GOLDEN.items():
        (FOLDER / name).write_text(text(record()), encoding="utf-8")
