"""Rows of their own for every test: the load goes on beside them."""

import secrets
from collections.abc import Callable
from decimal import Decimal

import pytest

from test_infra.testing.pipeline import PipelineHandle

FIRST_ID = 10**15
"""Far above the ids of the load."""


@pytest.fixture
def order_id() -> int:
    """An id that no other test and no load uses."""
    return FIRST_ID + secrets.randbelow(10**15)


@pytest.fixture
def place_order(pipeline: PipelineHandle) -> Callable[[int, Decimal], None]:
    """Insert an order and commit."""

    def place(order_id: int, amount: Decimal) -> None:
        pipeline.execute(
            "INSERT INTO orders (id, customer_id, amount, ordered_at, status) VALUES (%s, 1, %s, now(), 'placed')",
            (order_id, amount),
        )

    return place
