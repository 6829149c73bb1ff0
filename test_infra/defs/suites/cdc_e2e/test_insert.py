"""An inserted row arrives with every value as it was written."""

# ruff: noqa: D103 - a test's name says its behaviour

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import uuid4

from test_infra.testing.pipeline import PipelineHandle


def test_inserted_order_arrives_exactly(pipeline: PipelineHandle, order_id: int) -> None:
    ordered_at = datetime(2026, 11, 21, 3, 4, 5, 678901, tzinfo=UTC)
    pipeline.execute(
        "INSERT INTO orders (id, customer_id, amount, ordered_at, status, signature) VALUES (%s, 7, %s, %s, %s, %s)",
        (order_id, Decimal("1234567890.12"), ordered_at, "placed \u00e9\u6f22 'quoted'", b"\x00\xff"),
    )
    row = pipeline.wait_in_mirror("orders", {"id": order_id}, {"customer_id": 7})
    assert row["amount"] == Decimal("1234567890.12")
    assert row["ordered_at"] == ordered_at
    assert row["status"] == "placed \u00e9\u6f22 'quoted'"
    assert row["signature"] == b"\x00\xff"


def test_inserted_customer_arrives_exactly(pipeline: PipelineHandle, order_id: int) -> None:
    reference, local_time = uuid4(), datetime(2026, 3, 29, 2, 30, 0, 1)  # noqa: DTZ001 - a timestamp without time zone
    pipeline.execute(
        "INSERT INTO customers (id, name, email, active, reference, born_on, local_time, registered_at, preferences) "
        "VALUES (%s, 'Ada', NULL, true, %s, %s, %s, now(), %s)",
        (order_id, reference, date(1815, 12, 10), local_time, json.dumps({"b": [1, None], "a": "x"})),
    )
    row = pipeline.wait_in_mirror("customers", {"id": order_id}, {"name": "Ada"})
    assert (row["email"], row["active"], row["reference"]) == (None, True, str(reference))
    assert (row["born_on"], row["local_time"]) == (date(1815, 12, 10), local_time)
    assert json.loads(row["preferences"]) == {"a": "x", "b": [1, None]}
