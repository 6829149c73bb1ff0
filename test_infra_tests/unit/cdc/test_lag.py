"""Lag is measured on every change once, from its commit, and no measurement is never green."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from test_infra.cdc.lag import Hop, LagReport, measure, visible_batches
from test_infra.cdc.lake import Applied, Commit, changes_schema
from test_infra.cdc.pipeline import LagThresholds
from test_infra.cdc.table import Column, TableSchema
from test_infra.cdc.verdicts import Verdict

SCHEMA = TableSchema("public", "t", (Column("id", "bigint", False, 1),))
READY = dt.datetime(2026, 11, 21, 4, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return READY + dt.timedelta(seconds=seconds)


def change(number: int, committed_s: float, **more: object) -> dict[str, object]:
    row = {
        "op": "u",
        "key": {"id": number},
        "lsn": number,
        "snapshot": False,
        "commit_ts": at(committed_s),
        "kafka_ts": at(committed_s + 0.01),
        "kafka_partition": 0,
        "kafka_offset": number,
        "batch_id": 1,
    }
    return row | more


def measured(rows: list[dict[str, object]], visible: dict[int, tuple[dt.datetime, dt.datetime]]) -> LagReport:
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("changes", pa.Table.from_pylist(rows, changes_schema(SCHEMA)))
        return measure(connection, visible, READY)


def test_each_hop_is_measured_from_the_commit() -> None:
    report = measured([change(1, 1.0)], {1: (at(1.5), at(2.0))})
    assert report.count == 1
    assert {name: hop.max_s for name, hop in report.hops.items()} == pytest.approx(
        {"commit_to_kafka": 0.01, "commit_to_changes": 0.5, "commit_to_mirror": 1.0}
    )


def test_percentiles_are_over_all_changes() -> None:
    report = measured([change(number, 1 - number / 100) for number in range(100)], {1: (at(1), at(1))})
    hop = report.hops["commit_to_mirror"]
    assert (hop.p50_s, hop.p95_s, hop.p99_s, hop.max_s) == pytest.approx((0.495, 0.9405, 0.9801, 0.99))


@pytest.mark.parametrize(
    "left_out",
    [
        change(1, -5.0),
        change(1, 1.0, op="r", snapshot=True),
        change(1, 1.0, op="tombstone", lsn=None, commit_ts=None, snapshot=None),
    ],
)
def test_old_changes_snapshot_reads_and_tombstones_are_no_measurement(left_out: dict[str, object]) -> None:
    report = measured([left_out], {1: (at(2), at(2))})
    assert (report.count, report.hops) == (0, {})
    assert report.verdicts(LagThresholds()) == (Verdict.UNKNOWN,)


def test_redelivered_change_counts_at_its_first_delivery() -> None:
    again = change(1, 1.0, kafka_offset=9, batch_id=2)
    report = measured([again, change(1, 1.0)], {1: (at(2), at(2)), 2: (at(60), at(60))})
    assert report.count == 1
    assert report.hops["commit_to_mirror"].max_s == pytest.approx(1.0)


def test_change_of_a_batch_that_never_became_visible_is_not_green() -> None:
    report = measured([change(1, 1.0), change(2, 1.0, batch_id=7)], {1: (at(2), at(2))})
    assert (report.count, report.unmeasured) == (1, 1)
    assert report.verdicts(LagThresholds()) == (Verdict.UNKNOWN,)


def test_kafka_clock_of_milliseconds_never_gives_a_negative_lag() -> None:
    report = measured([change(1, 1.0009, kafka_ts=at(1.0))], {1: (at(2), at(2))})
    assert report.hops["commit_to_kafka"].max_s == 0


def report(p95_s: float, max_s: float) -> LagReport:
    hop = Hop(0.1, p95_s, max_s, max_s)
    return LagReport(10, {"commit_to_kafka": hop, "commit_to_changes": hop, "commit_to_mirror": hop})


def test_thresholds_decide_and_name_what_exceeds_them() -> None:
    limits = LagThresholds(changes_p95_s=2, mirror_p95_s=3, mirror_max_s=10)
    assert report(1.9, 9).verdicts(limits) == ()
    assert report(2.5, 9).verdicts(limits) == (Verdict.LAG,)
    assert report(2.5, 11).exceeded(limits) == {"changes_p95_s": (2.5, 2), "mirror_max_s": (11, 10)}


def test_sink_that_was_not_there_in_time_is_lag() -> None:
    assert LagReport(behind="mirror of t has applied {0: 1} of {0: 2}").verdicts(LagThresholds()) == (Verdict.LAG,)


def commit(version: int, batch: int, *, stream: str = "s", wrote: bool = True) -> Commit:
    return Commit(version, Applied(stream, batch, {0: version}), wrote, at(version))


def test_batches_are_those_of_the_newest_stream_that_are_in_both_tables() -> None:
    changes = [
        commit(0, -1, wrote=False),
        commit(1, 0, stream="old"),
        commit(2, 0),
        commit(3, 1),
        commit(4, 1, wrote=False),
        commit(5, 2),
    ]
    mirror = [commit(0, -1, wrote=False), commit(1, 0, stream="old"), commit(7, 0), commit(8, 1)]
    assert visible_batches(changes, mirror) == {0: (at(2), at(7)), 1: (at(3), at(8))}


def test_no_history_is_no_batch(tmp_path: Path) -> None:
    assert visible_batches([], []) == {}
