"""The shop, brought up through the product's own functions, for measurements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from test_infra.base.deadline import Deadline
from test_infra.cdc.pipeline import connector
from test_infra.cdc.pipeline.spec import LoadSpec, PipelineSpec, SourceSpec
from test_infra.cdc.sources import postgres
from test_infra.cdc.stream import control
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up

SHOP_SQL = Path(__file__).parents[1] / "test_infra" / "defs" / "shop" / "shop.sql"
STREAM_TIMEOUT_S = 180.0


def shop() -> PipelineSpec:
    """The built-in pipeline on empty tables; the measurement writes itself."""
    return PipelineSpec(
        name="shop",
        tables=["customers", "orders", "order_items"],
        source=SourceSpec(ddl=SHOP_SQL),
        load=LoadSpec(rows_before=0),
    )


@contextmanager
def running(spec: PipelineSpec) -> Iterator[Stack]:
    """A stack with the pipeline's stream at work; both end with the block."""
    lease = AttachedLease()
    stack = up(StackSpec(), lease=lease, alongside=lambda stack: _submit(stack, spec))
    try:
        schemas = postgres.prepare(stack, spec)
        # The driver waits for the topics, so it can read while the connector still takes its snapshot.
        control.release(stack, spec, schemas)
        connector.create(stack, spec, schemas, timeout_s=STREAM_TIMEOUT_S)
        control.wait_running(stack, spec, Deadline(STREAM_TIMEOUT_S))
        yield stack
    finally:
        down(stack.id)
        lease.release()


def _submit(stack: Stack, spec: PipelineSpec) -> None:
    control.submit(stack, spec, None)
