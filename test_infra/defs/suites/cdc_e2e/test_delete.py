"""A deleted row leaves the mirror; inserted again under its key, it comes back."""

# ruff: noqa: D103 - a test's name says its behaviour

from collections.abc import Callable
from decimal import Decimal

from test_infra.testing.pipeline import PipelineHandle


def test_deleted_row_leaves_the_mirror(
    pipeline: PipelineHandle, order_id: int, place_order: Callable[[int, Decimal], None]
) -> None:
    place_order(order_id, Decimal("1.00"))
    pipeline.wait_in_mirror("orders", {"id": order_id}, {"amount": Decimal("1.00")})
    pipeline.execute("DELETE FROM orders WHERE id = %s", (order_id,))
    pipeline.wait_gone_from_mirror("orders", {"id": order_id})
    assert "d" in {row["op"] for row in pipeline.change_rows("orders", {"id": order_id})}


def test_row_inserted_again_comes_back(
    pipeline: PipelineHandle, order_id: int, place_order: Callable[[int, Decimal], None]
) -> None:
    for amount in ("1.00", "2.00", "3.00"):
        place_order(order_id, Decimal(amount))
        pipeline.execute("DELETE FROM orders WHERE id = %s", (order_id,))
    place_order(order_id, Decimal("4.00"))
    pipeline.wait_in_mirror("orders", {"id": order_id}, {"amount": Decimal("4.00")})


def test_rolled_back_row_never_arrives(
    pipeline: PipelineHandle, order_id: int, place_order: Callable[[int, Decimal], None]
) -> None:
    with pipeline.source.transaction(force_rollback=True):
        place_order(order_id, Decimal("9.00"))
    place_order(order_id + 1, Decimal("1.00"))
    pipeline.wait_in_mirror("orders", {"id": order_id + 1}, {"amount": Decimal("1.00")})
    assert pipeline.change_rows("orders", {"id": order_id}) == []
