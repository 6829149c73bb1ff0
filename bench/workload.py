"""Writers and watchers of the measurements, on the table `orders`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.cdc.lake import Commit, commits, first_covering
from test_infra.cdc.pipeline import PipelineFolders, PipelineNames, PipelineSpec
from test_infra.cdc.sources import postgres
from test_infra.cdc.stream import control
from test_infra.cdc.topics import end_offsets

if TYPE_CHECKING:
    import psycopg

    from test_infra.stack import Stack

TABLE = "orders"
PER_TRANSACTION = 1_000
ROW = "%s, 1, 10.00, now(), 'new'"


def row_arrives(stack: Stack, spec: PipelineSpec) -> None:
    """Insert an order and wait until the mirror has it with the same values."""
    from deltalake import DeltaTable

    with _owner(stack, spec) as source:
        inserted = source.execute(
            f"INSERT INTO {TABLE} (id, customer_id, amount, ordered_at, status) VALUES ({ROW})"
            " RETURNING id, customer_id, amount, ordered_at, status, signature",
            [1],
        ).fetchone()
    mirror = DeltaTable(str(PipelineFolders(stack.dir, spec.name).mirror(TABLE)))
    columns = ["id", "customer_id", "amount", "ordered_at", "status", "signature"]

    def mirrored() -> None:
        mirror.update_incremental()
        rows = mirror.to_pyarrow_table(columns=columns).to_pylist()
        if [tuple(row.values()) for row in rows] != [inserted]:
            raise StillWaiting(f"{rows}")

    wait_for(mirrored, Deadline(60), what="the mirror", awaited=f"{inserted}", interval_s=0.02)


def drained(stack: Stack, spec: PipelineSpec, changes: int) -> dict[str, float]:
    """Let ``changes`` wait in Kafka while the stream is down, start it, and watch the tables catch up."""
    control.stop(stack, spec)
    started = time.time()
    records = _fill(stack, spec, changes)
    captured_s = time.time() - started
    began = time.time()
    control.submit(stack, spec, None)
    reached = {kind: _reached(stack, spec, kind, records) for kind in ("changes", "mirror")}
    return {
        "captured_s": captured_s,
        "with_driver_start_s": max(history[-1].visible_at.timestamp() for history in reached.values()) - began,
        "after_first_batch_changes_per_s": min(_rate(history) for history in reached.values()),
    }


def _fill(stack: Stack, spec: PipelineSpec, changes: int) -> dict[int, int]:
    """Write 60 % inserts, 30 % updates, 10 % deletes and wait until Kafka has a record of each, and of each delete's tombstone.

    Returns:
        End offsets to reach.
    """
    topic = PipelineNames(stack.id, spec.name).topic(spec.source.schema_name, TABLE)
    bootstrap = stack.endpoint("kafka").url
    before = sum(end_offsets(bootstrap, topic).values())
    inserts, updates, deletes = changes * 6 // 10, changes * 3 // 10, changes // 10
    with _owner(stack, spec) as source:
        for first in range(1, inserts + 1, PER_TRANSACTION):
            source.execute(
                f"INSERT INTO {TABLE} (id, customer_id, amount, ordered_at, status)"
                " SELECT id, 1, id / 100.0, now(), 'new' FROM generate_series(%s::bigint, %s::bigint) id",
                [first, min(first + PER_TRANSACTION - 1, inserts)],
            )
        for first in range(1, updates + 1, PER_TRANSACTION):
            last = min(first + PER_TRANSACTION - 1, updates)
            source.execute(f"UPDATE {TABLE} SET amount = amount + 1 WHERE id BETWEEN %s AND %s", [first, last])
        for first in range(updates + 1, updates + deletes + 1, PER_TRANSACTION):
            last = min(first + PER_TRANSACTION - 1, updates + deletes)
            source.execute(f"DELETE FROM {TABLE} WHERE id BETWEEN %s AND %s", [first, last])
    wanted = before + changes + deletes

    def in_kafka() -> dict[int, int]:
        ends = end_offsets(bootstrap, topic)
        if sum(ends.values()) < wanted:
            raise StillWaiting(f"{sum(ends.values()):,} records")
        return ends

    return wait_for(in_kafka, Deadline(300), what=topic, awaited=f"{wanted:,} records", interval_s=0.2)


def _reached(stack: Stack, spec: PipelineSpec, kind: str, records: dict[int, int]) -> list[Commit]:
    """The commits of one table from before the backlog to the first that covers it."""
    folders = PipelineFolders(stack.dir, spec.name)
    table = folders.changes(TABLE) if kind == "changes" else folders.mirror(TABLE)

    def covered() -> list[Commit]:
        history = commits(table)
        last = first_covering(history, records)
        if last is None:
            raise StillWaiting(f"{history[-1].offsets}")
        return history[: history.index(last) + 1]

    return wait_for(covered, Deadline(300), what=f"{kind}/{TABLE}", awaited=f"{records}", interval_s=0.2)


def _rate(history: list[Commit]) -> float:
    """Records per second from the end of the first batch of the backlog to its last; 0 when one batch took it all."""
    batches = [commit for commit in history if commit.wrote]
    last = batches[-1]
    first = next(commit for commit in batches if sum(commit.offsets.values()) > 0)
    took_s = (last.visible_at - first.visible_at).total_seconds()
    return (sum(last.offsets.values()) - sum(first.offsets.values())) / took_s if took_s else 0.0


def _owner(stack: Stack, spec: PipelineSpec) -> psycopg.Connection:
    connection = postgres.connect(stack.endpoint(spec.source.service), "owner")
    connection.autocommit = True
    return connection
