"""Runs a micro-batch's code once on made-up records; otherwise the first real one is three times slower."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline
from test_infra.cdc.lake.location import Location
from test_infra.cdc.stream.apply import Applier, Targets
from test_infra.cdc.types.table import Column, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

MERGED_WITHIN_S = 30.0

_SCHEMA = TableSchema("warm", "warm", (Column("id", "bigint", nullable=False, key_position=1), Column("v", "text")))


def warm_up(spark: SparkSession) -> None:
    """Load the libraries and compile the paths: Spark to Arrow, JSON to rows, append, merge. Leaves nothing behind."""
    spark.range(1).selectExpr("CAST('a' AS BINARY) AS key", "id").toArrow()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        changes, mirror, quarantine = (Location.of(folder / name) for name in ("changes", "mirror", "quarantine"))
        targets = Targets({"warm": changes}, {"warm": mirror}, quarantine)
        applier = Applier({"warm": _SCHEMA}, targets, stream_id="warm", tx_id_reference=1)
        for batch in range(2):
            applier.apply(_records(batch), batch)
        applier.wait_for_mirrors(Deadline(MERGED_WITHIN_S))
        applier.close()


def _records(batch: int) -> pa.Table:
    import pyarrow as pa

    source = {"lsn": batch + 1, "txId": 1, "ts_us": 1}
    event = {"op": "c", "before": None, "after": {"id": 1, "v": str(batch)}, "source": source, "ts_us": 1}
    return pa.table(
        {
            "key": [json.dumps({"id": 1}).encode()],
            "value": [json.dumps(event).encode()],
            "topic": ["warm"],
            "partition": pa.array([0], pa.int32()),
            "offset": [batch],
            "timestamp": pa.array([datetime.now(UTC)], pa.timestamp("us", "UTC")),
        }
    )
