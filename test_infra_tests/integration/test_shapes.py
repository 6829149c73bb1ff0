"""Every shape of a transaction through the real pipeline: all are run, then source and lake are compared once.

Two judges: the project's own parity, and a plain SELECT of the quiet source against the rows of the mirror.
"""

from __future__ import annotations

import re
import signal
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError
from test_infra.cdc.judge import offsets, parity
from test_infra.cdc.judge.compare import TableParity
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.pipeline import connector, topics
from test_infra.cdc.pipeline.spec import ConnectorSpec, PipelineSpec, SourceSpec
from test_infra.cdc.sources.postgres import connect
from test_infra.cdc.types import UNAVAILABLE, identifier, rule_for
from test_infra.cdc.types.table import Column
from test_infra_tests.running import Running, prepared

STACK = "testshapes"
HALFWAY_ROWS = 40_000

SHAPES = Path(__file__).with_name("shapes.sql")


def sections(text: str) -> dict[str, list[str]]:
    """Table -> its transactions, the first of which makes it."""
    named = re.split(r"^-- \[(\w+)\]$", text, flags=re.MULTILINE)
    return {
        name: [part.strip() for part in body.split("\n\n") if part.strip()]
        for name, body in zip(named[1::2], named[2::2], strict=True)
    }


TABLES = sections(SHAPES.read_text())


@dataclass
class Live(Running):
    """A pipeline that has been through everything."""

    judged: dict[str, TableParity] = field(default_factory=dict)

    @property
    def bootstrap(self) -> str:
        return self.stack.endpoint("kafka").url

    def session(self) -> psycopg.Connection:
        return connect(self.stack.endpoint("postgres"), "owner")

    def transactions(self, texts: list[str]) -> None:
        with self.session() as session:
            for text in texts:
                ended = text.endswith("ROLLBACK;") or "PREPARE TRANSACTION" in text
                session.execute(f"BEGIN; {text}{'' if ended else '; COMMIT'}")

    def judge(self) -> dict[str, TableParity]:
        self.judged = parity.check(self.pipeline, timeout_s=120).tables
        return self.judged

    def rows(self, table: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Rows of the quiet source and of the mirror: values as texts, or of some types only whether there is one."""
        columns = self.schema(table).columns
        listed = ", ".join(
            f"{rule_for(column).source_select(identifier(column.name))}::text"
            if _has_one_text(column)
            else f"({identifier(column.name)} IS NULL)::text"
            for column in columns
        )
        with self.session() as session:
            source = session.execute(f"SELECT {listed} FROM {identifier(table)}").fetchall()
        mirror = (
            open_table(self.folders.mirror(table)).dataset().to_table([column.name for column in columns]).to_pylist()
        )
        found = [
            tuple(_text(row[column.name] if _has_one_text(column) else row[column.name] is None) for column in columns)
            for row in mirror
        ]
        return sorted(source, key=repr), sorted(found, key=repr)

    def mirrored(self, table: str) -> list[dict[str, Any]]:
        return open_table(self.folders.mirror(table)).dataset().to_table().to_pylist()

    def changes(self, table: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
        return open_table(self.folders.changes(table)).dataset().to_table(columns).to_pylist()


@pytest.fixture(scope="module")
def live(test_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    ddl = tmp_path_factory.mktemp("ddl") / "tables.sql"
    ddl.write_text("\n".join(first for first, *_ in TABLES.values()))
    spec = PipelineSpec(
        name="shapes",
        tables=list(TABLES),
        source=SourceSpec(ddl=ddl),
        connector=ConnectorSpec(max_batch_size=512, max_queue_size=1024, config={"snapshot.fetch.size": "512"}),
        load=None,
    )
    with prepared(Live, spec, STACK) as pipeline:
        pipeline.unsettle()
        with writing(pipeline):
            killed_halfway(pipeline)
            pipeline.capture()
        for _, *transactions in TABLES.values():
            pipeline.transactions(transactions)
        long_open(pipeline)
        with pipeline.session() as session:
            session.execute("COMMIT PREPARED 'kept'")
            session.execute("ROLLBACK PREPARED 'gone'")
        pipeline.judge()
        yield pipeline


def _single(value: float) -> float:
    """The number as a float of 4 bytes holds it."""
    (found,) = struct.unpack("f", struct.pack("f", value))
    return float(found)


def _text(value: object) -> str | None:
    """As PostgreSQL writes it."""
    if isinstance(value, bytes):
        return rf"\x{value.hex()}"
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def _has_one_text(column: Column) -> bool:
    """Whether Python and PostgreSQL write the values of the column alike."""
    kind = rule_for(column).duckdb
    return kind in ("VARCHAR", "INTEGER", "BIGINT", "BOOLEAN", "BLOB", "DATE") or kind.startswith("DECIMAL")


class writing:  # noqa: N801 - reads as what it does
    """Updates, inserts and deletes of one table for the time of the block: the initial snapshot is taken under them."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        with self._live.session() as session:
            number = 0
            while not self._stop.wait(0.005):
                number += 1
                session.execute("UPDATE under_load SET v = %s WHERE id = %s", [f"u{number}", number % 1000])
                session.execute("DELETE FROM under_load WHERE id = %s", [1000 + number])
                session.execute("INSERT INTO under_load VALUES (%s, 'new')", [10_000 + number])


def killed_halfway(live: Live) -> None:
    """Kill Connect while it reads `halfway`, and delete rows that it has sent before it can begin again."""

    def begin() -> None:
        with suppress(InfrastructureError):
            connector.create(live.pipeline, live.schemas)

    beginning = threading.Thread(target=begin)
    beginning.start()

    def half_sent() -> None:
        sent = topics.end_offsets(live.bootstrap, live.topic("halfway"))[0]
        if sent < 1_000:
            raise StillWaiting(f"{sent} rows are sent")
        assert sent < HALFWAY_ROWS, "the snapshot was too fast to be killed half-way"

    wait_for(
        half_sent,
        Deadline(60),
        what="the snapshot",
        awaited="1,000 rows",
        interval_s=0.002,
        not_yet=(InfrastructureError,),
    )
    live.stack.runtime.signal("connect", signal.SIGKILL)
    live.transactions(
        ["DELETE FROM halfway WHERE id <= 200; UPDATE halfway SET v = 'changed' WHERE id BETWEEN 201 AND 300"]
    )
    beginning.join()
    wait_for(
        lambda: live.pipeline.connect.status(live.pipeline.names.connector),
        Deadline(60),
        what="Kafka Connect",
        awaited="an answer after its restart",
        not_yet=(InfrastructureError,),
    )


def long_open(live: Live) -> None:
    """A transaction that stays open while others come and go, and while a cut is taken."""
    with live.session() as session:
        session.execute("BEGIN; INSERT INTO long_open VALUES (1, 'opened first')")
        live.transactions(["INSERT INTO long_open SELECT n, 'meanwhile' FROM generate_series(2, 500) n"])
        assert parity.check(live.pipeline, ["long_open"], timeout_s=120).green
        session.execute("UPDATE long_open SET v = 'from the open one' WHERE id = 2; COMMIT")


@pytest.mark.parametrize("table", list(TABLES))
def test_shape_arrives_exactly(live: Live, table: str) -> None:
    assert live.judged[table].green, live.judged[table]
    source, mirror = live.rows(table)
    assert source == mirror
    assert source


def test_values_whose_text_follows_the_settings_of_the_database_are_exact(live: Live) -> None:
    floats = {(row["k"], row["f"]): (row["v"], row["at"]) for row in live.mirrored("by_float")}
    assert floats == {
        (0.30000000000000004, _single(0.1)): ([0.30000000000000004], {"x": 0.30000000000000004, "y": -0.0}),
        (1.0000000000000002, _single(1.1754944e-38)): ([2.718281828459045], {"x": 2.718281828459045, "y": 0.0}),
        (1.7976931348623157e308, _single(1e-45)): (None, None),
        (2.0000000000000004, _single(3.4028235e38)): (None, None),
    }
    moments = live.mirrored("by_interval")
    assert {tuple(row["k"].values()) for row in moments} == {
        (10, 3, -500_000),
        (0, -1, 0),
        (0, -2, 3_600_000_000),
        (0, 5, 14_582_000_001),
    }
    assert {tuple(row["raws"]) for row in moments} == {(b"\x00\xff\\'", None, b"")}
    assert {row["raw"] for row in moments} == {b"\\\x00\xff", b"\x00\x01\xfe"}
    assert {row["at"] for row in moments} == {datetime(2024, 3, 10, 7, 30, 0, 500_000, tzinfo=UTC)}
    assert {row["r"] for row in moments} == {'["2024-03-10 07:30:00+00","2024-11-03 06:30:00+00")'}
    assert {row["m"] for row in moments} == {Decimal("1234.56"), Decimal("-0.05")}


def test_rows_deleted_while_the_snapshot_was_interrupted_are_not_in_the_mirror(live: Live) -> None:
    read = [(row["lsn"], row["key"]["id"]) for row in live.changes("halfway", ["op", "lsn", "key"]) if row["op"] == "r"]
    generations = sorted({lsn for lsn, _ in read})
    assert len(generations) == 2, "the snapshot was taken twice, each with one LSN"
    zombies = {key for lsn, key in read if lsn == generations[0]} - {key for lsn, key in read if lsn == generations[1]}
    assert zombies >= set(range(1, 201))
    assert not zombies & {int(row[0]) for row in live.rows("halfway")[1]}


def test_events_delivered_again_late_change_nothing(live: Live) -> None:
    from kafka import KafkaProducer

    chosen = ["rewritten", "moved", "emptied", "emptied_too", "parts", "by_both", "rolled_back", "halfway"]
    appended = ["appended", "appended_anew"]
    before = {table: live.rows(table)[1] for table in [*chosen, *appended]}
    with closing(KafkaProducer(bootstrap_servers=live.bootstrap)) as producer:
        for table in [*chosen, *appended]:
            topic = live.topic(table)
            end = min(2_000, topics.end_offsets(live.bootstrap, topic)[0])
            for record in list(topics.read_records(live.bootstrap, topic, 0, 0, end)):
                # A row of the snapshot without a key is known by its place in Kafka (decision 0059).
                if table in appended and b'"op":"r"' in (record.value or b""):
                    continue
                producer.send(topic, key=record.key, value=record.value)
        producer.flush()
    for table, found in live.judge().items():
        assert found.green, found
        if table in before:
            assert live.rows(table)[1] == before[table]
    for table in ("moved", "emptied"):
        account = offsets.check(live.pipeline, [table])[table]
        assert account.green, account
        assert account.counts["redelivery"] > 0


def test_values_that_were_not_sent_were_marked_and_no_placeholder_is_in_the_lake(live: Live) -> None:
    marked = {
        table: [row["unchanged"] for row in live.changes(table, ["unchanged"]) if row["unchanged"]]
        for table in ("toasted", "toasted_index", "toasted_full")
    }
    assert ["v", "doc", "raw"] in marked["toasted"]
    assert ["v", "doc", "raw"] in marked["toasted_index"]
    assert marked["toasted_full"] == [], "the image before has them"
    for table in marked:
        held = repr(live.changes(table, ["before", "after"])) + repr(live.rows(table))
        assert UNAVAILABLE not in held
        assert UNAVAILABLE.encode().hex() not in held


def test_what_happens_to_a_partition_by_its_own_name_sends_nothing_and_turns_parity_red(live: Live) -> None:
    live.transactions(["TRUNCATE parts_b"])
    found = live.judge()["parts"]
    assert set(found.counts) == {"EXTRA"}
