"""Lag is measured on every change once, from its commit, and no measurement is never green."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_infra.cdc.judge.lag import HOPS, MOST_BUCKETS, Hop, LagReport, measure, visible_batches
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.schemas import changes_schema
from test_infra.cdc.lake.versions import Applied, Commit
from test_infra.cdc.pipeline.spec import LagThresholds
from test_infra.cdc.types.table import Column, TableSchema

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


def test_every_change_is_in_one_bin_of_each_hop() -> None:
    commits = [1.0, 1.4, 1.4996, -1_000_000.0]
    ready = min(commits) - 1
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = [change(number, committed) for number, committed in enumerate(commits)]
        connection.register("changes", pa.Table.from_pylist(rows, changes_schema(SCHEMA)))
        found = measure(connection, {1: (at(1.5), at(1.5))}, at(ready))
    by_name = {item.name: item for item in found.histograms}
    assert set(by_name) == set(HOPS)
    assert {sum(item.counts) for item in by_name.values()} == {4}
    mirror = by_name["commit_to_mirror"]
    filled = [mirror.edges_s[place : place + 2] for place, count in enumerate(mirror.counts) if count]
    assert filled[0][0] == 0
    assert all(low <= lag <= high for (low, high), lag in zip(filled[:-1], (0.0004, 0.1, 0.5), strict=True))
    assert filled[-1] == mirror.edges_s[-2:]


def test_lag_over_time_is_by_time_of_commit_and_has_gaps() -> None:
    found = measured([change(1, 1.0), change(2, 1.01), change(3, 3.05)], {1: (at(4), at(4))})
    assert found.over_time is not None
    assert (found.over_time.starts_at, found.over_time.bucket_s) == (READY, 0.1)
    values = found.over_time.values["commit_to_mirror_max_s"]
    assert {place: value for place, value in enumerate(values) if value is not None} == pytest.approx(
        {10: 3.0, 30: 0.95}
    )
    assert found.over_time.values["changes"][10] == 2


@settings(max_examples=25, deadline=None)
@given(st.floats(min_value=0.01, max_value=1e7))
def test_a_series_is_bounded_however_long_it_went(span_s: float) -> None:
    found = measured([change(1, 0.005), change(2, span_s)], {1: (at(span_s), at(span_s))})
    assert found.over_time is not None
    assert found.over_time.buckets <= MOST_BUCKETS
    assert sum(filter(None, found.over_time.values["changes"])) == 2


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


@pytest.mark.parametrize(
    ("beats", "idle", "verdicts"),
    [
        (report(1, 9), "ok", ()),
        (report(1, 9), "red", (Verdict.UNKNOWN,)),
        (report(6, 9), "ok", (Verdict.LAG,)),
        (report(6, 9), "red", (Verdict.LAG,)),
        (LagReport(behind="a heart-beat did not arrive"), "ok", (Verdict.LAG,)),
        (LagReport(unmeasured=3), "ok", (Verdict.UNKNOWN,)),
        (LagReport(), "ok", (Verdict.UNKNOWN,)),
        (None, "ok", (Verdict.UNKNOWN,)),
    ],
)
def test_idle_table_is_as_late_as_the_heart_beat(
    beats: LagReport | None, idle: Literal["ok", "red"], verdicts: tuple[Verdict, ...]
) -> None:
    assert LagReport(heartbeat=beats).verdicts(LagThresholds(idle=idle)) == verdicts


def test_heart_beat_does_not_speak_for_a_table_that_is_late_itself() -> None:
    assert LagReport(behind="it lags", heartbeat=report(1, 9)).verdicts(LagThresholds()) == (Verdict.LAG,)
    assert LagReport(unmeasured=1, heartbeat=report(1, 9)).verdicts(LagThresholds()) == (Verdict.UNKNOWN,)
