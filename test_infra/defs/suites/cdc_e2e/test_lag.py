"""A single change is visible in the mirror within the pipeline's own limit."""

# ruff: noqa: D103 - a test's name says its behaviour

import time
from collections.abc import Callable
from decimal import Decimal

from test_infra.testing.pipeline import PipelineHandle


def test_one_change_is_visible_in_time(
    pipeline: PipelineHandle, order_id: int, place_order: Callable[[int, Decimal], None]
) -> None:
    limit_s = pipeline.spec.lag.mirror_max_s
    place_order(order_id, Decimal("1.00"))
    committed = time.monotonic()
    pipeline.wait_in_mirror("orders", {"id": order_id}, {"amount": Decimal("1.00")}, timeout_s=limit_s)
    assert time.monotonic() - committed <= limit_s
