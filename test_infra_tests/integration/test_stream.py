"""The way of a row through real PostgreSQL, Debezium, Kafka, Spark and Delta, with the faults it must survive."""

from __future__ import annotations

import json
import signal
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import psutil
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.schemas import TOMBSTONE
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec, StreamSpec
from test_infra.cdc.stream.stream import stream_of
from test_infra.cdc.types import identifier, rule_for
from test_infra.cdc.types.table import TableSchema
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.gateway.states import JobState
from test_infra_tests.running import Running, prepared

STACK = "teststream"
DDL = """
CREATE TABLE everything (
    id bigint PRIMARY KEY, si smallint NOT NULL, i integer, n numeric(12,2) NOT NULL, tiny numeric(20,10), r real,
    d double precision, b boolean NOT NULL, t text NOT NULL, vc varchar(20), c char(5), u uuid NOT NULL,
    da date NOT NULL, ts timestamp NOT NULL, ts0 timestamp(0), ts3 timestamp(3), tz timestamptz NOT NULL,
    tz3 timestamptz(3), jb jsonb NOT NULL, js json, by bytea NOT NULL
);
CREATE TABLE orders (region text, id integer, total numeric(12,2), note text, PRIMARY KEY (region, id));
"""
EVERYTHING = r"""INSERT INTO everything
    SELECT id, -1, NULL, -3.25, 0.0000000001, 1.1, 1e-300, true, 'häß ''"\' || id, '', 'ab', gen_random_uuid(),
        '0099-02-28', '1890-02-28 12:34:56.123456', '2024-02-29 12:34:56', '2024-02-29 12:34:56.123',
        '2024-02-29 12:34:56.123456+02', '2024-02-29 12:34:56.123+00', '{"b":1,"a": [1, "x"]}', '{"z" :1}', '\x00ff'
    FROM generate_series(%s::int, %s::int) AS id"""


@dataclass
class Live(Running):
    """A running pipeline over two tables."""

    def source(self, schema: TableSchema) -> list[tuple[Any, ...]]:
        columns = [rule_for(column).source_select(identifier(column.name)) for column in schema.columns]
        rows = self.sql(f"SELECT {', '.join(columns)} FROM {identifier(schema.name)}")
        single = [column.type == "real" for column in schema.columns]
        return sorted(_plain(tuple(map(_rounded, row, single))) for row in rows)

    def mirror(self, schema: TableSchema) -> list[tuple[Any, ...]]:
        rows = open_table(self.folders.mirror(schema.name)).dataset().to_table().to_pylist()
        texts = {column.name for column in schema.columns if column.type.startswith("numeric")}
        names = [column.name for column in schema.columns]
        return sorted(_plain(tuple(_text(row[name], name in texts) for name in names)) for row in rows)

    def changes(self, table: str) -> list[dict[str, Any]]:
        rows = open_table(self.folders.changes(table)).dataset().to_table().to_pylist()
        return sorted(rows, key=lambda row: (row["kafka_partition"], row["kafka_offset"]))

    def settled(self, within_s: float = 60.0) -> None:
        """Wait until source and mirror of every table are equal."""

        def equal() -> None:
            for schema in self.schemas:
                source, mirror = self.source(schema), self.mirror(schema)
                if source != mirror:
                    first = next((pair for pair in zip_longest(source, mirror) if pair[0] != pair[1]), None)
                    raise StillWaiting(f"{schema.name}: {len(source)} and {len(mirror)} rows, {first}")

        eventually(equal, within_s, "source and mirror are equal")

    def driver(self) -> psutil.Process:
        """The Python process of the newest driver."""
        config = str(self.stack.dir / "pipelines" / f"{self.spec.name}.stream.json")
        for process in psutil.process_iter(["cmdline"]):
            arguments = process.info["cmdline"] or []
            if config in arguments and "-I" not in arguments:
                return process
        raise AssertionError("no driver runs")


def _text(value: Any, as_text: bool) -> Any:
    return None if value is None else format(value, "f") if as_text else value


def _rounded(value: Any, single: bool) -> Any:
    """psycopg reads a `real` from its text into a double; this is the value that the four bytes hold."""
    return struct.unpack("f", struct.pack("f", value))[0] if single and value is not None else value


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row that sorts and compares: NULL below everything, one type per column."""
    return tuple((value is not None, bytes(value) if isinstance(value, memoryview) else value) for value in row)


def eventually(observe: Callable[[], None], within_s: float, awaited: str) -> None:
    wait_for(observe, Deadline(within_s), what="the pipeline", awaited=awaited, interval_s=0.2)


@pytest.fixture(scope="module")
def live(test_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    ddl = tmp_path_factory.mktemp("ddl") / "tables.sql"
    ddl.write_text(DDL)
    spec = PipelineSpec(
        name="flow",
        tables=["everything", "orders"],
        source=SourceSpec(ddl=ddl),
        stream=StreamSpec(max_offsets_per_trigger=2_000),
        load=None,
    )
    with prepared(Live, spec, STACK) as pipeline:
        pipeline.sql(EVERYTHING, 1, 20)
        pipeline.capture()
        yield pipeline


def test_every_type_arrives_exactly_by_snapshot_and_by_stream(live: Live) -> None:
    live.sql(EVERYTHING, 21, 40)
    live.settled()
    operations = {row["op"] for row in live.changes("everything")}
    assert operations == {"r", "c"}
    assert all(row["tx_id"] is None for row in live.changes("everything") if row["op"] == "r")


def test_updates_deletes_key_changes_and_reinserts_arrive(live: Live) -> None:
    live.sql("INSERT INTO orders VALUES ('eu', 1, 1.50, 'a'), ('eu', 2, NULL, 'b'), ('us', 1, 2, 'c')")
    live.sql("UPDATE orders SET total = 7, note = NULL WHERE region = 'eu' AND id = 1")
    live.sql("DELETE FROM orders WHERE region = 'eu' AND id = 2")
    live.sql("UPDATE orders SET id = 9 WHERE region = 'us'")
    live.sql("DELETE FROM orders WHERE region = 'eu' AND id = 1")
    live.sql("INSERT INTO orders VALUES ('eu', 1, 8, 'again')")
    live.settled()
    operations = [row["op"] for row in live.changes("orders")]
    assert operations.count("d") == 3
    assert operations.count(TOMBSTONE) == 3


def test_a_delete_with_a_default_replica_identity_is_no_quarantine_case(live: Live) -> None:
    live.sql("DELETE FROM everything WHERE id <= 5")
    live.settled()
    deleted = {row["key"]["id"] for row in live.changes("everything") if row["op"] == "d"}
    assert deleted >= set(range(1, 6))
    topic = live.names.topic("public", "everything")
    assert topic not in _quarantined(live)


def test_a_truncate_empties_the_mirror_and_rows_written_after_it_stay(live: Live) -> None:
    live.sql("INSERT INTO orders VALUES ('x', 1, 1, NULL)")
    live.sql("TRUNCATE orders")
    live.sql("INSERT INTO orders VALUES ('y', 1, 1, NULL)")
    live.settled()
    assert "t" in [row["op"] for row in live.changes("orders")]


def test_malformed_and_null_messages_are_quarantined_and_the_stream_goes_on(live: Live) -> None:
    from kafka import KafkaProducer

    topic = live.names.topic("public", "orders")
    producer = KafkaProducer(bootstrap_servers=live.stack.endpoint("kafka").url)
    bad = [(b"{}", b"{"), (None, b"null"), (None, b'{"op": "c"}'), (b'{"region": "eu", "id": "one"}', b"{}")]
    offsets = [producer.send(topic, key=key, value=value).get(timeout=10).offset for key, value in bad]
    producer.close()
    live.sql("INSERT INTO orders VALUES ('after', 1, 1, NULL)")
    live.settled()
    rows = _quarantined(live)[topic]
    assert sorted(row["offset"] for row in rows) == offsets
    assert {(row["key"], row["value"]) for row in rows} == set(bad)
    assert all(row["reason"] for row in rows)


def test_a_killed_driver_resumes_with_nothing_lost_or_doubled(live: Live) -> None:
    live.sql("INSERT INTO orders SELECT 'k', n, n, NULL FROM generate_series(1, 20000) n")

    def begun() -> None:
        if sum(row["after"] is not None and row["after"]["region"] == "k" for row in live.changes("orders")) < 2_000:
            raise StillWaiting("the stream has not begun with them")

    eventually(begun, 60, "the first of 20,000 rows")
    live.driver().kill()
    eventually(lambda: _ended(live), 20, "the end of the driver")
    assert stream_of(live.pipeline).newest().state is JobState.EVICTED
    stream_of(live.pipeline).submit()
    stream_of(live.pipeline).wait_ready(Deadline(90))
    live.settled()
    _every_offset_once(live)


@pytest.mark.ci(reason="more restarts of the stream")
def test_a_stop_is_clean_and_the_next_start_goes_on(live: Live) -> None:
    live.sql("INSERT INTO orders SELECT 's', n, n, NULL FROM generate_series(1, 3000) n")
    stopped = stream_of(live.pipeline).stop()
    assert (stopped.state, stopped.exit_code) == (JobState.CANCELLED, 0)
    live.sql("UPDATE orders SET total = 0 WHERE region = 's'")
    stream_of(live.pipeline).submit()
    stream_of(live.pipeline).wait_ready(Deadline(90))
    live.settled()
    _every_offset_once(live)


def test_events_delivered_again_after_a_kill_of_connect_change_nothing(live: Live) -> None:
    live.sql("INSERT INTO orders SELECT 'c', n, n, NULL FROM generate_series(1, 5000) n")
    live.sql("DELETE FROM orders WHERE region = 'c' AND id % 2 = 0")
    live.stack.runtime.signal("connect", signal.SIGKILL)
    live.sql("UPDATE orders SET note = 'later' WHERE region = 'c' AND id % 3 = 0")
    live.settled(within_s=120)
    _every_offset_once(live)


def test_the_record_of_the_stream_is_complete(live: Live) -> None:
    gateway = SparkGateway(live.stack)
    described = gateway.describe(stream_of(live.pipeline).newest().execution_id)
    states = [entry["state"] for entry in described["history"]]  # type: ignore[attr-defined]
    assert states[0] == "submitted"
    assert states[-1] == "running"
    assert "password" not in json.dumps(described)


def _ended(live: Live) -> None:
    if not stream_of(live.pipeline).newest().state.terminal:
        raise StillWaiting("the driver runs")


def _quarantined(live: Live) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in open_table(live.folders.quarantine).dataset().to_table().to_pylist():
        found.setdefault(row["topic"], []).append(row)
    return found


def _every_offset_once(live: Live) -> None:
    for schema in live.schemas:
        topic = live.names.topic(schema.schema, schema.name)
        places = [(row["kafka_partition"], row["kafka_offset"]) for row in live.changes(schema.name)]
        places += [(row["partition"], row["offset"]) for row in _quarantined(live).get(topic, [])]
        assert len(places) == len(set(places))
        applied = open_table(live.folders.changes(schema.name)).newest_applied().offsets
        assert len(places) == sum(applied.values())
