"""Debezium messages as the connector writes them, made by hand for tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from test_infra.cdc.types.table import Column, TableSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

TOPIC = "shop.public.orders"
ORDERS = TableSchema(
    "public", "orders", (Column("id", "bigint", nullable=False, key_position=1), Column("note", "text"))
)
Message = tuple[bytes | None, bytes | None]


def envelope(op: str, lsn: int, *, before: Any = None, after: Any = None, tx_id: int = 700) -> bytes:
    """A change event's value."""
    source = {"lsn": lsn, "txId": tx_id, "ts_us": 1_700_000_000_000_000 + lsn, "snapshot": str(op == "r").lower()}
    event = {"op": op, "before": before, "after": after, "source": source, "ts_us": 1_700_000_000_000_500 + lsn}
    return json.dumps(event).encode()


def upsert(op: str, key: int, lsn: int, note: str | None = "x") -> Message:
    """A create, update or snapshot read of ``ORDERS``."""
    return json.dumps({"id": key}).encode(), envelope(op, lsn, after={"id": key, "note": note})


def delete(key: int, lsn: int) -> Message:
    """A delete of ``ORDERS``, with the before image of a default replica identity."""
    return json.dumps({"id": key}).encode(), envelope("d", lsn, before={"id": key, "note": None})


def truncate(lsn: int) -> Message:
    """A truncate of ``ORDERS``."""
    return None, envelope("t", lsn)


def tombstone(key: int) -> Message:
    """What follows a delete."""
    return json.dumps({"id": key}).encode(), None


def records(messages: Sequence[Message], *, start: int = 0, topic: str = TOPIC, partition: int = 0) -> pa.Table:
    """Messages as Spark's Kafka source hands them over."""
    import pyarrow as pa

    count = len(messages)
    return pa.table(
        {
            "key": pa.array([key for key, _ in messages], pa.binary()),
            "value": pa.array([value for _, value in messages], pa.binary()),
            "topic": pa.array([topic] * count, pa.string()),
            "partition": pa.array([partition] * count, pa.int32()),
            "offset": pa.array(range(start, start + count), pa.int64()),
            "timestamp": pa.array([datetime(2026, 11, 21, tzinfo=UTC)] * count, pa.timestamp("us", "UTC")),
        }
    )
