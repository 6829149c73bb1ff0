"""A restart of the stream loses nothing and doubles nothing."""

# ruff: noqa: D103 - a test's name says its behaviour

from collections.abc import Callable
from decimal import Decimal

from test_infra.testing.pipeline import PipelineHandle


def test_changes_around_a_restart_arrive_once(
    pipeline: PipelineHandle, order_id: int, place_order: Callable[[int, Decimal], None]
) -> None:
    place_order(order_id, Decimal("1.00"))
    pipeline.wait_in_mirror("orders", {"id": order_id}, {"amount": Decimal("1.00")})
    pipeline.stop_stream()
    try:
        pipeline.execute("UPDATE orders SET amount = 2 WHERE id = %s", (order_id,))
        place_order(order_id + 1, Decimal("3.00"))
    finally:
        pipeline.restart_stream()
    pipeline.wait_in_mirror("orders", {"id": order_id}, {"amount": Decimal("2.00")})
    pipeline.wait_in_mirror("orders", {"id": order_id + 1}, {"amount": Decimal("3.00")})
    assert [row["op"] for row in pipeline.change_rows("orders", {"id": order_id})] == ["c", "u"]
    assert [row["op"] for row in pipeline.change_rows("orders", {"id": order_id + 1})] == ["c"]
