"""The newest update of a row is what the mirror shows, and the change log has every step."""

# ruff: noqa: D103 - a test's name says its behaviour

from collections.abc import Callable
from decimal import Decimal

from test_infra.testing.pipeline import PipelineHandle


def test_last_update_wins_and_every_update_is_logged(
    pipeline: PipelineHandle, order_id: int, place_order: Callable[[int, Decimal], None]
) -> None:
    place_order(order_id, Decimal("1.00"))
    for amount in range(2, 12):
        pipeline.execute("UPDATE orders SET amount = %s WHERE id = %s", (Decimal(amount), order_id))
    pipeline.wait_in_mirror("orders", {"id": order_id}, {"amount": Decimal("11.00")})
    log = pipeline.change_rows("orders", {"id": order_id})
    assert [row["op"] for row in log] == ["c", *["u"] * 10]
    assert [row["after"]["amount"] for row in log] == [Decimal(amount) for amount in range(1, 12)]


def test_changed_key_leaves_no_row_behind(
    pipeline: PipelineHandle, order_id: int, place_order: Callable[[int, Decimal], None]
) -> None:
    place_order(order_id, Decimal("5.00"))
    pipeline.execute("UPDATE orders SET id = %s WHERE id = %s", (order_id + 1, order_id))
    pipeline.wait_in_mirror("orders", {"id": order_id + 1}, {"amount": Decimal("5.00")})
    pipeline.wait_gone_from_mirror("orders", {"id": order_id})
