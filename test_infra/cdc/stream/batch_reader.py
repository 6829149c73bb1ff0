"""The records of a micro-batch in the driver's memory: at once where they are few bytes, else part by part.

Spark's Kafka source bounds a micro-batch in records only (``maxOffsetsPerTrigger``), and a record may have 16 MiB.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

PART_BYTES = 64 * 1024 * 1024
"""Of keys and values that are in memory at once; one record more than that at most."""
COLUMNS = ("key", "value", "topic", "partition", "offset", "timestamp")

log = logging.getLogger("test_infra.stream")

Range = tuple[str, int, int, int]
"""Topic, partition, first offset, end offset."""


class AppendedBytes:
    """An upper bound on the bytes of a micro-batch, from the sizes of the topics' logs.

    A micro-batch ends at or behind what the logs held when the one before it began to be planned, so what was added
    since the size was looked up for the one before that is not less than it.

    Args:
        log_bytes: size of all topics' logs now; None when it is not known.
        most_records: of a micro-batch; one that comes near may have left some for the next.
    """

    def __init__(self, log_bytes: Callable[[], int | None], most_records: int) -> None:
        self._log_bytes = log_bytes
        self._limited_at = most_records / 2
        self._sizes: deque[int] = deque([0, 0], maxlen=2)
        self._behind = False

    def bound(self) -> int | None:
        """Of the micro-batch that was just planned; None when there is no telling."""
        now = self._log_bytes()
        if now is None:
            return None
        added, behind = now - self._sizes[0], self._behind
        self._sizes.append(now)
        # A log that became smaller has lost old segments, and may have grown at the same time.
        return None if behind or added < 0 else added

    def was_read(self, records: int) -> None:
        """How many records the micro-batch had."""
        self._behind = records >= self._limited_at


class BatchReader:
    """Brings the records of micro-batches into the driver.

    Args:
        spark: the session.
        options: of Spark's Kafka source, without topics and offsets.
        appended: tells how large a micro-batch can be.
    """

    def __init__(self, spark: SparkSession, options: Mapping[str, Any], appended: AppendedBytes) -> None:
        self._spark = spark
        self._options = options
        self._appended = appended

    def parts(self, batch: DataFrame) -> Iterator[Part]:
        """The micro-batch in parts, each of which is read when it is asked for; there is always a last one."""
        bound = self._appended.bound()
        if bound is not None and bound <= PART_BYTES:
            # As one task: Spark would start one for each partition of each topic, and most bring nothing.
            part = Part(batch.coalesce(1).toArrow(), last=True)
            self._appended.was_read(part.records.num_rows)
            yield part
            return
        planned = plan(_sizes_of(batch), PART_BYTES)
        records = sum(end - first for ranges in planned for _, _, first, end in ranges)
        self._appended.was_read(records)
        if len(planned) > 1:
            log.info("%d records in %d parts, because they are large", records, len(planned))
        for number, ranges in enumerate(planned, 1):
            rows = batch if len(planned) == 1 else self._between(ranges)
            yield Part(rows.coalesce(1).toArrow(), last=number == len(planned))

    def _between(self, ranges: list[Range]) -> DataFrame:
        begin, end = offsets_json(ranges)
        # With partitions named one by one, Spark reads exactly these.
        assigned = json.dumps({topic: [int(part) for part in parts] for topic, parts in json.loads(begin).items()})
        return (
            self._spark.read.format("kafka")
            .options(**self._options)
            .option("assign", assigned)
            .option("startingOffsets", begin)
            .option("endingOffsets", end)
            .option("failOnDataLoss", "true")
            .load()
            .select(*COLUMNS)
        )


@dataclass(frozen=True)
class Part:
    """Some records of a micro-batch.

    Args:
        records: `COLUMNS`.
        last: no more follow.
    """

    records: pa.Table
    last: bool


def plan(sizes: pa.Table, most_bytes: int) -> list[list[Range]]:
    """Ranges of offsets for each part, in an order in which offsets of a partition grow. At least one part.

    Args:
        sizes: ``topic, partition, offset, bytes`` of each record.
        most_bytes: of a part, without its last record.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes = sizes.sort_by([("topic", "ascending"), ("partition", "ascending"), ("offset", "ascending")])
    own = sizes["bytes"].cast(pa.int64())
    before = pc.subtract(pc.cumulative_sum(own), own)
    parts = sizes.append_column("part", pc.divide(before, most_bytes))
    found = parts.group_by(["part", "topic", "partition"]).aggregate([("offset", "min"), ("offset", "max")])
    planned: dict[int, list[Range]] = {}
    for row in sorted(found.to_pylist(), key=lambda row: (row["part"], row["topic"], row["partition"])):
        range_ = (row["topic"], row["partition"], row["offset_min"], row["offset_max"] + 1)
        planned.setdefault(row["part"], []).append(range_)
    return list(planned.values()) or [[]]


def offsets_json(ranges: list[Range]) -> tuple[str, str]:
    """First and end offsets as Spark's Kafka source takes them."""
    begin: dict[str, dict[str, int]] = {}
    ends: dict[str, dict[str, int]] = {}
    for topic, partition, first, end in ranges:
        begin.setdefault(topic, {})[str(partition)] = first
        ends.setdefault(topic, {})[str(partition)] = end
    return json.dumps(begin), json.dumps(ends)


def _sizes_of(batch: DataFrame) -> pa.Table:
    """Topic, partition, offset and bytes of each record; the records themselves stay where they are."""
    length = "coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0) AS bytes"
    return batch.selectExpr("topic", "partition", "offset", length).coalesce(1).toArrow()
