"""Lag of every change: from its commit in the source, by the source's clock, to each place on its way."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from test_infra.cdc.judge import coverage, heartbeat
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake import scratch_db
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.versions import Commit
from test_infra.cdc.stream.stream import stream_of
from test_infra.cdc.types.position import position
from test_infra.verdict.measures import Histogram, Series, bucket_s, series

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.lake.table import LakeTable
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.pipeline.spec import LagThresholds
    from test_infra.cdc.stream.stream import Covered

HOPS = ("commit_to_kafka", "commit_to_changes", "commit_to_mirror")
QUANTILES = (0.5, 0.95, 0.99)
SHORTEST_BIN_S = 0.001
BINS_PER_DECADE = 8
EDGES_S = (0.0, *(round(SHORTEST_BIN_S * 10 ** (place / BINS_PER_DECADE), 6) for place in range(7 * BINS_PER_DECADE)))
"""Bins of every lag, from a millisecond to hours, each a third longer than the one before. The same for all tables,
so that their histograms add up.
"""
BEATS = 3
"""Heart-beats of one look, one after the other: a single one may have come at a bad moment."""
MOST_BUCKETS = 120
"""Points in time of a lag over time."""

Visible = Mapping[int, tuple[datetime, datetime]]
"""Micro-batch -> when its rows could be seen in the change log, and in the mirror."""


@dataclass(frozen=True)
class Hop:
    """How long changes took to one place. All in seconds."""

    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True)
class LagReport:
    """Lag of one table's changes.

    Args:
        count: changes measured: committed after ``since``, each at its first delivery.
        hops: ``commit_to_kafka``, ``commit_to_changes``, ``commit_to_mirror``; empty when nothing was measured.
        unmeasured: changes whose micro-batch is not in both tables' histories.
        since: when the stream was ready; older changes are of its start, not of its lag.
        behind: why the sink was not there in time, where that is so.
        histograms: how the lags of each hop are spread.
        over_time: p50, p95 and max of each hop by the time of the commit; None when nothing was measured.
        heartbeat: lag of the pipeline's heart-beats of this look, for a table that had no change; else None.
    """

    count: int = 0
    hops: dict[str, Hop] = field(default_factory=dict)
    unmeasured: int = 0
    since: datetime | None = None
    behind: str = ""
    histograms: tuple[Histogram, ...] = ()
    over_time: Series | None = None
    heartbeat: LagReport | None = None

    @property
    def idle(self) -> bool:
        """Whether the table had no change since the stream was ready, as far as it could be told."""
        return not (self.count or self.unmeasured or self.behind)

    def verdicts(self, thresholds: LagThresholds) -> tuple[Verdict, ...]:
        """LAG beyond a threshold or when the sink was not there in time; UNKNOWN when nothing was measured.

        An idle table is as late as the pipeline's heart-beat, or unknown where the pipeline says that idle is red.
        """
        if self.behind:
            return (Verdict.LAG,)
        if self.idle and self.heartbeat is not None:
            of_heartbeat = self.heartbeat.verdicts(thresholds)
            return of_heartbeat or ((Verdict.UNKNOWN,) if thresholds.idle == "red" else ())
        if not self.count or self.unmeasured:
            return (Verdict.UNKNOWN,)
        return (Verdict.LAG,) if self.exceeded(thresholds) else ()

    def exceeded(self, thresholds: LagThresholds) -> dict[str, tuple[float, float]]:
        """Figures beyond their thresholds: name -> (measured, threshold), seconds."""
        if not self.hops:
            return {}
        changes, mirror = self.hops["commit_to_changes"], self.hops["commit_to_mirror"]
        figures = {
            "changes_p95_s": (changes.p95_s, thresholds.changes_p95_s),
            "mirror_p95_s": (mirror.p95_s, thresholds.mirror_p95_s),
            "mirror_max_s": (mirror.max_s, thresholds.mirror_max_s),
        }
        return {name: figure for name, figure in figures.items() if figure[0] > figure[1]}


def check(pipeline: RunningPipeline, timeout_s: float = coverage.DEFAULT_TIMEOUT_S) -> dict[str, LagReport]:
    """Measure the lag of every change that was committed since the stream was ready, up to this call.

    Where a table had none, heart-beats of the pipeline are sent and measured, anew with each call; nothing is written
    into a user's table.

    Args:
        pipeline: whose changes are measured.
        timeout_s: a sink that is not there by then is LAG, seconds.

    Raises:
        StreamFailed: the stream was never ready.
    """
    since = stream_of(pipeline).ready_at()
    reports = _measured(pipeline, pipeline.tables, since, timeout_s)
    if any(report.idle for report in reports.values()):
        beats = of_heartbeat(pipeline, since, timeout_s)
        reports = {
            table: replace(report, heartbeat=beats) if report.idle else report for table, report in reports.items()
        }
    return {table: reports[table] for table in pipeline.tables}


def of_heartbeat(pipeline: RunningPipeline, since: datetime, timeout_s: float) -> LagReport:
    """Send heart-beats and measure their lag, as that of changes."""
    proof = heartbeat.prove(pipeline, BEATS, timeout_s)
    if proof.behind or proof.after is None:
        return LagReport(since=since, behind=proof.behind)
    label = pipeline.heartbeat.label
    changes = open_table(pipeline.changes(label))
    visible = visible_batches(changes.commits(), open_table(pipeline.mirror(label)).commits())
    with scratch_db.on_disk(pipeline.stack.dir) as connection:
        return _of_rows(connection, changes, f"lsn > {position(proof.after.stored)}", visible, since)


def measure(connection: DuckDBPyConnection, visible: Visible, since: datetime) -> LagReport:
    """Lag of the changes in the relation ``changes``: streamed ones, committed after ``since``, at first delivery.

    Args:
        connection: holds ``changes``, with the columns of ``changes_schema`` but ``before`` and ``after``.
        visible: when the rows of each micro-batch could be seen.
        since: when the stream was ready.
    """
    import pyarrow as pa

    batches = pa.table(
        {
            "batch": pa.array(list(visible), pa.int64()),
            "changes_at": pa.array([at for at, _ in visible.values()], pa.timestamp("us", "UTC")),
            "mirror_at": pa.array([at for _, at in visible.values()], pa.timestamp("us", "UTC")),
        }
    )
    connection.register("visible_batches", batches)
    ends = {"commit_to_kafka": "kafka_ts", "commit_to_changes": "changes_at", "commit_to_mirror": "mirror_at"}
    seconds = ", ".join(
        # Kafka's timestamp has milliseconds only and may lie before a commit of the same millisecond.
        f"greatest(0, epoch_us({end}) - epoch_us(commit_ts)) / 1e6 AS {hop}"
        for hop, end in ends.items()
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE timed AS
        SELECT mirror_at, epoch_us(commit_ts) / 1e6 AS committed, {seconds} FROM (
            SELECT * FROM changes WHERE op IN ('c', 'u', 'd', 't') AND commit_ts > ?
            QUALIFY row_number() OVER (PARTITION BY "key", lsn, op ORDER BY kafka_partition, kafka_offset) = 1
        ) LEFT JOIN visible_batches ON batch_id = batch""",
        [since],
    )
    try:
        return _of_timed(connection, since)
    finally:
        connection.unregister("visible_batches")
        connection.execute("DROP TABLE temp.timed")


def _of_timed(connection: DuckDBPyConnection, since: datetime) -> LagReport:
    """The report on the temporary table ``timed``: a row a change, with its lag at each hop, seconds."""
    figures = ", ".join(f"quantile_cont({hop}, {list(QUANTILES)}), max({hop})" for hop in HOPS)
    total, measured, last, *values = connection.execute(
        f"SELECT count(*), count(mirror_at), max(committed), {figures} FROM temp.timed"
    ).fetchall()[0]
    if not measured:
        return LagReport(unmeasured=total, since=since)
    return LagReport(
        count=measured,
        hops={hop: _hop(*values[2 * place : 2 * place + 2]) for place, hop in enumerate(HOPS)},
        unmeasured=total - measured,
        since=since,
        histograms=tuple(_histogram(connection, hop) for hop in HOPS),
        over_time=_over_time(connection, since, last - since.timestamp()),
    )


def _histogram(connection: DuckDBPyConnection, hop: str) -> Histogram:
    place = f"floor(log10({hop} / {SHORTEST_BIN_S}) * {BINS_PER_DECADE})::BIGINT + 1"
    last = len(EDGES_S) - 2
    rows = connection.execute(
        f"""SELECT CASE WHEN {hop} < {SHORTEST_BIN_S} THEN 0 ELSE least({place}, {last}) END AS bin, count(*)
        FROM temp.timed WHERE {hop} IS NOT NULL GROUP BY bin"""
    ).fetchall()
    counts = [0] * (last + 1)
    for place_of_bin, count in rows:
        counts[place_of_bin] = count
    return Histogram(name=hop, edges_s=EDGES_S, counts=tuple(counts))


def _over_time(connection: DuckDBPyConnection, since: datetime, span_s: float) -> Series:
    length_s = bucket_s(span_s, MOST_BUCKETS)
    figures = {f"{hop}_{name}_s": figure.format(hop) for hop in HOPS for name, figure in _FIGURES.items()}
    rows = connection.execute(
        f"""SELECT floor((committed - {since.timestamp()!r}) / {length_s})::BIGINT AS place, count(*),
            {", ".join(figures.values())}
        FROM temp.timed WHERE mirror_at IS NOT NULL GROUP BY place ORDER BY place"""
    ).fetchall()
    names = ("changes", *figures)
    buckets = {place: dict(zip(names, map(float, row), strict=True)) for place, *row in rows}
    return series("lag", since, length_s, buckets)


_FIGURES = {"p50": "quantile_cont({}, 0.5)", "p95": "quantile_cont({}, 0.95)", "max": "max({})"}


def _hop(quantiles: list[float], longest: float) -> Hop:
    p50, p95, p99 = quantiles
    return Hop(p50, p95, p99, longest)


def visible_batches(changes: list[Commit], mirror: list[Commit]) -> dict[int, tuple[datetime, datetime]]:
    """When each micro-batch of the newest stream could be seen; only batches that are in both tables.

    A commit of the mirror holds every micro-batch up to its own number: it may have folded several.
    """
    newest = changes[-1].applied.stream if changes else ""

    def of_stream(history: list[Commit]) -> dict[int, datetime]:
        # Numbers of micro-batches begin again with another stream id.
        return {
            commit.batch: commit.visible_at for commit in history if commit.wrote and commit.applied.stream == newest
        }

    in_changes, in_mirror = of_stream(changes), of_stream(mirror)
    merged = sorted(in_mirror)
    places = {batch: bisect.bisect_left(merged, batch) for batch in in_changes}
    return {
        batch: (in_changes[batch], in_mirror[merged[place]]) for batch, place in places.items() if place < len(merged)
    }


def _measured(
    pipeline: RunningPipeline, tables: Sequence[str], since: datetime, timeout_s: float
) -> dict[str, LagReport]:
    covered, behind = coverage.advance(pipeline, tables, timeout_s)
    reports = {table: LagReport(since=since, behind=why) for table, why in behind.items()}
    with scratch_db.on_disk(pipeline.stack.dir) as connection:
        return reports | {table: of_table(connection, pipeline, table, upto, since) for table, upto in covered.items()}


def of_table(
    connection: DuckDBPyConnection, pipeline: RunningPipeline, table: str, upto: Covered, since: datetime
) -> LagReport:
    """Lag of one table's changes up to where it is covered, see `measure`.

    Args:
        connection: of `scratch_db.on_disk`.
        pipeline: has the table.
        table: its label.
        upto: how far it is covered.
        since: when the stream was ready.
    """
    changes = open_table(pipeline.changes(table), upto.changes_version)
    commits = changes.commits()
    if commits and commits[-1].max_commit_ts_us <= since.timestamp() * 1e6:
        return LagReport(since=since)
    visible = visible_batches(commits, open_table(pipeline.mirror(table)).commits())
    return _of_rows(connection, changes, upto.below_applied_sql(), visible, since)


def _of_rows(
    connection: DuckDBPyConnection, changes: LakeTable, where: str, visible: Visible, since: datetime
) -> LagReport:
    """Lag of the rows of a change log for which a condition holds."""
    scratch_db.view(connection, "changes_files", changes)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW changes AS SELECT * FROM changes_files WHERE {where}")
    return measure(connection, visible, since)
