"""The shop, brought up through the product's own functions, for measurements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from test_infra.base.deadline import Deadline
from test_infra.cdc.load.prepare import prepare
from test_infra.cdc.pipeline import connector
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import LoadSpec, PipelineSpec, SourceSpec
from test_infra.cdc.stream.control import SparkStream
from test_infra.stack import AttachedLease, StackSpec, down, up

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
def running(spec: PipelineSpec) -> Iterator[RunningPipeline]:
    """The pipeline with its stream at work, in a stack of its own; both end with the block."""
    lease = AttachedLease()
    stack = up(StackSpec(), lease=lease, alongside=lambda early: SparkStream(RunningPipeline(early, spec)).submit())
    pipeline = RunningPipeline(stack, spec)
    stream = SparkStream(pipeline)
    try:
        schemas = prepare(pipeline)
        # The driver waits for the topics, so it can read while the connector still takes its snapshot.
        stream.release(schemas)
        connector.create(pipeline, schemas, timeout_s=STREAM_TIMEOUT_S)
        stream.wait_ready(Deadline(STREAM_TIMEOUT_S))
        yield pipeline
    finally:
        down(stack.id)
        lease.release()
