"""Cuts of a real pipeline under live load, and faults planted behind its back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from test_infra.base.deadline import Deadline
from test_infra.cdc.judge import cut, lag, offsets, parity, witness
from test_infra.cdc.judge.compare import judge
from test_infra.cdc.judge.differences import Compared, TableParity
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.delta_reading import dataset_of
from test_infra.cdc.load import control as load
from test_infra.cdc.pipeline.spec import LoadSpec, PipelineSpec, SourceSpec
from test_infra.cdc.sources.postgres import Lsn, connect
from test_infra.cdc.sources.postgres.observer import PostgresObserver
from test_infra_tests.running import Running, running

SHOP = Path(__file__).parents[2] / "test_infra" / "defs" / "shop" / "shop.sql"
STACK = "testparity"
SPEC = PipelineSpec(
    name="shop",
    tables=["customers", "orders", "order_items"],
    source=SourceSpec(ddl=SHOP),
    schema_changes="refuse",  # what is followed is in test_schema_changes.py
    load=LoadSpec(operations=1_500, rows_before=100, background_rate_per_s=100),
)


@dataclass
class Live(Running):
    """A running pipeline, into whose tables faults are planted."""

    planted: list[tuple[Any, int]] = field(default_factory=list)

    def check(self, timeout_s: float = 60.0) -> dict[str, TableParity]:
        return parity.check(self.pipeline, timeout_s=timeout_s).tables

    def mirror(self, table: str) -> Any:
        """The mirror, to plant a fault in it; undone when the test ends."""
        return self._opened(self.folders.mirror(table))

    def changes(self, table: str) -> Any:
        """The change log, to plant a fault in it; undone when the test ends."""
        return self._opened(self.folders.changes(table))

    def undo(self) -> None:
        """Bring the tables back to what they were before a fault was planted in them."""
        for delta, version in self.planted:
            delta.update_incremental()
            delta.restore(version)
        self.planted.clear()

    def _opened(self, folder: Path) -> Any:
        from deltalake import DeltaTable

        delta = DeltaTable(str(folder))
        self.planted.append((delta, delta.version()))
        return delta


@pytest.fixture(scope="module")
def pipeline(test_home: Path) -> Iterator[Live]:
    """Source, connector and stream are at work, and the bulk of the load is done."""
    with running(Live, SPEC, STACK) as pipeline:
        load.start(pipeline.pipeline)
        load.wait_bulk(pipeline.pipeline, Deadline(60))
        yield pipeline


@pytest.fixture
def busy(pipeline: Live) -> Live:
    """Under live load."""
    load.start(pipeline.pipeline, operations=1)
    load.wait_bulk(pipeline.pipeline, Deadline(60))
    return pipeline


@pytest.fixture
def quiet(pipeline: Live) -> Iterator[Live]:
    """Without load and green, before and after."""
    load.stop(pipeline.pipeline)
    assert {table: found.verdicts for table, found in pipeline.check().items()} == dict.fromkeys(SPEC.tables, ())
    yield pipeline
    pipeline.undo()
    assert {table: found.verdicts for table, found in pipeline.check().items()} == dict.fromkeys(SPEC.tables, ())


def some_order(live: Live) -> tuple[int, str, str]:
    """Key, amount and status of an order, as text that DuckDB and PostgreSQL share."""
    ((key, amount, status),) = live.sql("SELECT id, amount::text, status FROM orders ORDER BY id LIMIT 1 OFFSET 20")
    return key, amount, status


def test_cuts_under_live_load_are_green_and_judge_clean_and_dirty_keys(busy: Live) -> None:
    dirty = 0
    for _ in range(4):
        for table, found in busy.check().items():
            assert found.green, (table, found)
            assert found.clean_keys > 100
            dirty += found.dirty_keys
    assert dirty > 0


def test_all_witnesses_agree_under_live_load(busy: Live) -> None:
    for table in SPEC.tables:
        account = offsets.check(busy.pipeline, [table])[table]
        assert account.green, account
        assert sum(account.counts.values()) == sum(account.upto.values()) > 0
    for testimony in witness.check(busy.pipeline).values():
        assert testimony.green, testimony
        assert testimony.keys > 100
    for measured in lag.check(busy.pipeline).values():
        assert measured.count > 0
        assert measured.unmeasured == 0
        hops = measured.hops
        assert 0 <= hops["commit_to_kafka"].p50_s < hops["commit_to_changes"].p50_s <= hops["commit_to_mirror"].p50_s


def test_changed_value_is_named_with_table_key_column_and_both_values(quiet: Live) -> None:
    key, _, status = some_order(quiet)
    quiet.mirror("orders").update(updates={"status": "'tampered'"}, predicate=f"id = {key}")
    found = quiet.check()
    assert found["customers"].green
    assert found["order_items"].green
    assert found["orders"].counts == {Verdict.VALUE: 1}
    (difference,) = found["orders"].differences
    assert (difference.table, difference.key, difference.column) == ("public.orders", {"id": str(key)}, "status")
    assert (difference.source_value, difference.mirror_value) == (status[:400], "tampered")
    assert difference.compared == Compared.SOURCE_WITH_MIRROR


def test_dropped_row_is_missing(quiet: Live) -> None:
    key, amount, _ = some_order(quiet)
    quiet.mirror("orders").delete(f"id = {key}")
    found = quiet.check()["orders"]
    assert found.counts == {Verdict.MISSING: 1}
    assert found.differences[0].key == {"id": str(key)}
    assert amount in (found.differences[0].source_value or "")
    lost = witness.check(quiet.pipeline)["orders"]
    assert lost.counts == {Verdict.LOST: 1}
    assert lost.faults[0].key == (key,)


def test_added_row_is_extra_and_a_repeated_one_a_duplicate(quiet: Live) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    mirror = quiet.mirror("customers")
    row = dataset_of(mirror).to_table().slice(3, 1)
    twice = row.column("id")[0].as_py()
    invented = row.set_column(row.schema.get_field_index("id"), row.schema.field("id"), pa.array([-77], pa.int64()))
    write_deltalake(mirror, pa.concat_tables([row, invented]), mode="append")
    found = quiet.check()["customers"]
    assert found.counts == {Verdict.EXTRA: 1, Verdict.DUPLICATE: 1}
    assert {(difference.verdict, difference.key["id"]) for difference in found.differences} == {
        (Verdict.DUPLICATE, str(twice)),
        (Verdict.EXTRA, "-77"),
    }


def test_row_lost_from_the_change_log_is_an_offset_that_is_nowhere(quiet: Live) -> None:
    changes = quiet.changes("orders")
    changes.delete("kafka_offset = 42")
    found = offsets.check(quiet.pipeline, ["orders"])["orders"]
    assert found.verdicts == {Verdict.MISSING: 1}
    assert (found.faults[0].partition, found.faults[0].offset) == (0, 42)


def test_dirty_key_is_compared_with_the_mirror_through_the_log(quiet: Live) -> None:
    key, _, before = some_order(quiet)
    emit_marker = PostgresObserver.emit_marker
    with connect(quiet.stack.endpoint("postgres"), "owner") as writer, pytest.MonkeyPatch.context() as patched:
        # Open when the snapshot is taken, committed before the marker: invisible, and in the mirror for certain.
        writer.execute("BEGIN")
        writer.execute("UPDATE orders SET status = 'open' WHERE id = %s", [key])

        def commit_before(observer: PostgresObserver) -> Lsn:
            writer.execute("COMMIT")
            return emit_marker(observer)

        patched.setattr(PostgresObserver, "emit_marker", commit_before)
        with cut.take(quiet.pipeline, ["orders"]) as taken, taken.sides(quiet.pipeline, "orders") as sides:
            schema = taken.tables["orders"].schema
            found = judge(taken.connection, sides, schema)
            assert found.green, found
            assert found.dirty_keys == 1
            taken.connection.execute(
                f"CREATE TABLE spoiled AS SELECT * REPLACE (if(id = {key}, 'tampered', status) AS status) FROM mirror"
            )
            found = judge(taken.connection, replace(sides, mirror="spoiled"), schema)
    quiet.sql("UPDATE orders SET status = %s WHERE id = %s", before, key)
    assert found.counts == {Verdict.VALUE: 1}
    (difference,) = found.differences
    assert (difference.compared, difference.source_value, difference.mirror_value) == (
        Compared.LOG_WITH_MIRROR,
        "open",
        "tampered",
    )


def test_stopped_stream_is_lag_and_never_missing(quiet: Live) -> None:
    quiet.stream.stop()
    quiet.sql("UPDATE orders SET status = 'late' WHERE id = %s", some_order(quiet)[0])
    found = quiet.check(timeout_s=3)
    assert found["orders"].counts == {Verdict.LAG: 1}
    assert "mirror of orders has applied" in found["orders"].reason
    assert found["customers"].green
    assert offsets.check(quiet.pipeline, ["orders"], timeout_s=3)["orders"].verdicts == {Verdict.LAG: 1}
    quiet.stream.submit()
    quiet.stream.wait_ready(Deadline(90))
    assert quiet.check()["orders"].green


@pytest.mark.ci(reason="more faults under a cut")
def test_killed_connect_delays_the_cut_and_falsifies_nothing(busy: Live) -> None:
    (connect_service,) = [one for one in busy.stack.status().services if one.name == "connect"]
    assert connect_service.pid is not None
    os.kill(connect_service.pid, signal.SIGKILL)
    assert {table: found.verdicts for table, found in busy.check(90).items()} == dict.fromkeys(SPEC.tables, ())


def test_table_that_stays_locked_voids_the_cut_and_is_unknown(busy: Live) -> None:
    load.stop(busy.pipeline)
    with connect(busy.stack.endpoint("postgres"), "owner") as locking:
        locking.execute("BEGIN")
        locking.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        found = busy.check()
        locking.execute("ROLLBACK")
    assert found["orders"].counts == {Verdict.UNKNOWN: 1}
    assert "stayed locked" in found["orders"].reason


@pytest.mark.ci(reason="more faults under a cut")
def test_idle_tables_are_as_late_as_the_heart_beats_of_this_look(quiet: Live) -> None:
    quiet.stream.restart()
    quiet.stream.wait_ready(Deadline(90))
    for _ in range(2):
        for report in lag.check(quiet.pipeline).values():
            assert report.heartbeat is not None
            assert (report.count, report.heartbeat.count) == (0, lag.BEATS)


def test_truncate_is_followed(busy: Live) -> None:
    load.stop(busy.pipeline)
    busy.sql("CREATE TABLE IF NOT EXISTS scratch AS SELECT * FROM order_items")
    busy.sql("TRUNCATE order_items")
    found = busy.check()["order_items"]
    busy.sql("INSERT INTO order_items SELECT * FROM scratch")
    assert found.green, found
    assert found.source_rows == found.mirror_rows == 0
    assert busy.check()["order_items"].green


def test_column_added_in_the_source_is_a_schema_fault(quiet: Live) -> None:
    quiet.sql("ALTER TABLE customers ADD COLUMN added text")
    try:
        found = quiet.check()["customers"]
    finally:
        quiet.sql("ALTER TABLE customers DROP COLUMN added")
    assert found.counts == {Verdict.SCHEMA: 1}
    assert (found.differences[0].column, found.differences[0].source_value) == ("added", "VARCHAR")
