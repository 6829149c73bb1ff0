"""Writers and watchers of the measurements, on the table `orders`."""

from __future__ import annotations

import bisect
import multiprocessing
import statistics
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import psycopg

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.cdc.judge import coverage, lag
from test_infra.cdc.lake import scratch_db
from test_infra.cdc.lake.delta_reading import dataset_of
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.versions import Commit, first_covering
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.topics import end_offsets
from test_infra.cdc.sources import postgres
from test_infra.cdc.stream.stream import stream_of

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event as EventClass


TABLE = "orders"
INSERT = "INSERT INTO orders (id, customer_id, amount, ordered_at, status) VALUES (%s, 1, 10.00, now(), 'new')"
PER_TRANSACTION = 10_000


def row_arrives(pipeline: RunningPipeline) -> None:
    """Insert an order and wait until the mirror has it with the same values."""
    from deltalake import DeltaTable

    with _owner(pipeline) as source:
        inserted = source.execute(
            f"{INSERT} RETURNING id, customer_id, amount, ordered_at, status, signature",
            [1],
        ).fetchone()
    mirror = DeltaTable(str(pipeline.folders.mirror(TABLE)))
    columns = ["id", "customer_id", "amount", "ordered_at", "status", "signature"]

    def mirrored() -> None:
        mirror.update_incremental()
        rows = dataset_of(mirror).to_table(columns).to_pylist()
        if [tuple(row.values()) for row in rows] != [inserted]:
            raise StillWaiting(f"{rows}")

    wait_for(mirrored, Deadline(60), what="the mirror", awaited=f"{inserted}", interval_s=0.02)


def lag_at(pipeline: RunningPipeline, *, rate_per_s: int, warm_up_s: float, measured_s: float) -> dict[str, float]:
    """Write single-row transactions at a steady rate; lag of those committed after the warm-up."""
    with Writer(pipeline, rate_per_s):
        time.sleep(warm_up_s)
        since = datetime.now(UTC)
        time.sleep(measured_s)
    report = _lag_since(pipeline, since)
    kafka, changes, mirror = (report.hops[hop] for hop in lag.HOPS)
    return {
        "changes_per_s": report.count / measured_s,
        "kafka_p50_s": kafka.p50_s,
        "changes_p50_s": changes.p50_s,
        "changes_p95_s": changes.p95_s,
        "mirror_p50_s": mirror.p50_s,
        "mirror_p95_s": mirror.p95_s,
        "mirror_max_s": mirror.max_s,
    }


def sustained(pipeline: RunningPipeline, *, rate_per_s: int, measured_s: float) -> dict[str, float]:
    """Write transactions of 100 changes at a steady rate; how late the mirror was early and late in the time.

    Stable is a lag that does not grow: the last third is not more than half a second behind the middle one.
    """
    with Writer(pipeline, rate_per_s, per_transaction=100):
        time.sleep(measured_s / 3)
        middle = time.time()
        time.sleep(measured_s / 3)
        last = time.time()
        time.sleep(measured_s / 3)
        end = time.time()
    _lag_since(pipeline, datetime.fromtimestamp(middle, UTC))
    lags = [(seen_at - lag_s, lag_s) for seen_at, lag_s in lags_since(pipeline, middle)]
    thirds = [
        statistics.median(lag_s for committed, lag_s in lags if begin <= committed < until)
        for begin, until in ((middle, last), (last, end))
    ]
    return {
        "changes_per_s": len(lags) / (end - middle),
        "mirror_p50_s": thirds[1],
        "mirror_growth_s": thirds[1] - thirds[0],
    }


def fill_mirror(pipeline: RunningPipeline, rows: int) -> None:
    """Insert so many orders and wait until the mirror has them."""
    with _owner(pipeline) as source:
        _insert(source, rows)
    _, behind = coverage.advance(pipeline, [TABLE], 300)
    if behind:
        raise SystemExit(f"the mirror was not filled: {behind}")


def lags_since(pipeline: RunningPipeline, since_s: float) -> list[tuple[float, float]]:
    """Of each streamed change committed since then: when the mirror showed it (epoch), and how late that was, s."""
    import pyarrow.compute as pc

    mirror = [commit for commit in open_table(pipeline.mirror(TABLE)).commits() if commit.wrote]
    ends = [sum(commit.offsets.values()) for commit in mirror]
    rows = (
        open_table(pipeline.changes(TABLE))
        .dataset()
        .to_table(
            columns=["kafka_offset", "commit_ts"],
            filter=pc.field("op").isin(["c", "u", "d"])
            & (pc.field("commit_ts") >= datetime.fromtimestamp(since_s, UTC)),
        )
    )
    lags = []
    for offset, committed in zip(rows["kafka_offset"].to_pylist(), rows["commit_ts"].to_pylist(), strict=True):
        seen_at = mirror[bisect.bisect_right(ends, offset)].visible_at.timestamp()
        lags.append((seen_at, seen_at - committed.timestamp()))
    return lags


def _lag_since(pipeline: RunningPipeline, since: datetime) -> lag.LagReport:
    covered, behind = coverage.advance(pipeline, [TABLE], 60)
    if behind:
        raise SystemExit(f"the stream fell behind, so there is no lag to tell: {behind}")
    with scratch_db.on_disk(pipeline.stack.dir) as connection:
        return lag.of_table(connection, pipeline, TABLE, covered[TABLE], since)


class Writer:
    """Writes at a steady rate for the time of a block, in a process of its own: four inserts, five updates, one delete.

    Args:
        pipeline: whose tables are written.
        rate_per_s: changes per second.
        per_transaction: changes of a transaction.
    """

    def __init__(self, pipeline: RunningPipeline, rate_per_s: int, per_transaction: int = 1) -> None:
        source = postgres.conninfo(pipeline.endpoint(pipeline.spec.source.service), "owner")
        self._stop = multiprocessing.get_context("spawn").Event()
        self._process = multiprocessing.get_context("spawn").Process(
            target=_write, args=(source, rate_per_s, per_transaction, self._stop), daemon=True
        )

    def __enter__(self) -> Self:
        """Start to write."""
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to write."""
        self._stop.set()
        self._process.join(30)


def _write(source: str, rate_per_s: int, per_transaction: int, stop: EventClass) -> None:
    first = time.time_ns() // 1_000
    began, number = time.monotonic(), 0
    while not stop.is_set():
        try:
            with psycopg.connect(source, autocommit=True) as connection:
                while not stop.is_set():
                    time.sleep(max(0.0, began + number / rate_per_s - time.monotonic()))
                    _change(connection, first, number, per_transaction)
                    number += per_transaction
        except psycopg.OperationalError:
            # The source is killed and comes back; what was not written is not made up for.
            time.sleep(0.1)
            began = time.monotonic() - number / rate_per_s


def _change(connection: psycopg.Connection, first: int, number: int, per_transaction: int) -> None:
    if per_transaction > 1:
        inserted = per_transaction * 6 // 10
        with connection.transaction():
            connection.execute(
                "INSERT INTO orders (id, customer_id, amount, ordered_at, status)"
                " SELECT id, 1, 10.00, now(), 'new' FROM generate_series(%s::bigint, %s::bigint) id",
                [first + number, first + number + inserted - 1],
            )
            connection.execute(
                "UPDATE orders SET amount = amount + 1 WHERE id BETWEEN %s AND %s",
                [first + number, first + number + per_transaction - inserted - 1],
            )
        return
    step, id_ = number % 10, first + 4 * (number // 10)
    if step < 4:
        connection.execute(INSERT, [id_ + step])
    elif step < 9:
        connection.execute("UPDATE orders SET amount = amount + 1 WHERE id = %s", [id_ + step % 4])
    else:
        connection.execute("DELETE FROM orders WHERE id = %s", [id_])


def drained(pipeline: RunningPipeline, changes: int) -> dict[str, float]:
    """Let ``changes`` wait in Kafka while the stream is down, start it, and watch the tables catch up."""
    stream_of(pipeline).stop()
    started = time.time()
    records = _fill(pipeline, changes)
    captured_s = time.time() - started
    began = time.time()
    stream_of(pipeline).submit()
    reached = {kind: _reached(pipeline, kind, records) for kind in ("changes", "mirror")}
    return {
        "captured_s": captured_s,
        "with_driver_start_s": max(history[-1].visible_at.timestamp() for history in reached.values()) - began,
        "after_first_batch_changes_per_s": min(map(_records_per_s, reached.values())) * changes / sum(records.values()),
    }


def _fill(pipeline: RunningPipeline, changes: int) -> dict[int, int]:
    """Write 60 % inserts, 30 % updates, 10 % deletes; wait until Kafka has them, and a tombstone for each delete.

    Returns:
        End offsets to reach.
    """
    topic = pipeline.topic(TABLE)
    bootstrap = pipeline.bootstrap
    before = sum(end_offsets(bootstrap, topic).values())
    inserts, updates, deletes = changes * 6 // 10, changes * 3 // 10, changes // 10
    with _owner(pipeline) as source:
        _insert(source, inserts)
        for first in range(1, updates + 1, PER_TRANSACTION):
            last = min(first + PER_TRANSACTION - 1, updates)
            source.execute("UPDATE orders SET amount = amount + 1 WHERE id BETWEEN %s AND %s", [first, last])
        for first in range(updates + 1, updates + deletes + 1, PER_TRANSACTION):
            last = min(first + PER_TRANSACTION - 1, updates + deletes)
            source.execute("DELETE FROM orders WHERE id BETWEEN %s AND %s", [first, last])
    wanted = before + changes + deletes

    def in_kafka() -> dict[int, int]:
        ends = end_offsets(bootstrap, topic)
        if sum(ends.values()) < wanted:
            raise StillWaiting(f"{sum(ends.values()):,} records")
        return ends

    return wait_for(in_kafka, Deadline(300), what=topic, awaited=f"{wanted:,} records", interval_s=0.2)


def _insert(source: psycopg.Connection, rows: int) -> None:
    """Orders 1 to ``rows``, in transactions of `PER_TRANSACTION`."""
    for first in range(1, rows + 1, PER_TRANSACTION):
        source.execute(
            "INSERT INTO orders (id, customer_id, amount, ordered_at, status)"
            " SELECT id, 1, id / 100.0, now(), 'new' FROM generate_series(%s::bigint, %s::bigint) id",
            [first, min(first + PER_TRANSACTION - 1, rows)],
        )


def _reached(pipeline: RunningPipeline, kind: str, records: dict[int, int]) -> list[Commit]:
    """The commits of one table from before the backlog to the first that covers it."""
    table = open_table(pipeline.changes(TABLE) if kind == "changes" else pipeline.mirror(TABLE))

    def covered() -> list[Commit]:
        history = table.commits()
        last = first_covering(history, records)
        if last is None:
            raise StillWaiting(f"{history[-1].offsets}")
        return history[: history.index(last) + 1]

    return wait_for(covered, Deadline(300), what=f"{kind}/{TABLE}", awaited=f"{records}", interval_s=0.2)


def _records_per_s(history: list[Commit]) -> float:
    """Records per second from the end of the first batch of the backlog to its last; 0 when one batch took it all."""
    batches = [commit for commit in history if commit.wrote]
    last = batches[-1]
    first = next(commit for commit in batches if sum(commit.offsets.values()) > 0)
    took_s = (last.visible_at - first.visible_at).total_seconds()
    return (sum(last.offsets.values()) - sum(first.offsets.values())) / took_s if took_s else 0.0


def _owner(pipeline: RunningPipeline) -> psycopg.Connection:
    connection = postgres.connect(pipeline.endpoint(pipeline.spec.source.service), "owner")
    connection.autocommit = True
    return connection
