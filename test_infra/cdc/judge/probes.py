"""What a gate sees of a running pipeline beside its rows: connector, stream, quarantine, continuity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from test_infra.cdc.judge import continuity, coverage, findings
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.pipeline.connector import too_large_record
from test_infra.cdc.stream.stream import stream_of

if TYPE_CHECKING:
    from test_infra.cdc.lake.location import Location
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.verdict.evidence import Finding


def connector(pipeline: RunningPipeline) -> Finding:
    """The connector, its tasks and what the source keeps for it, now."""
    replication, state = pipeline.source.capture_state()
    name = pipeline.names.connector
    status = pipeline.connect.status(name)
    cause = too_large_record(pipeline, status) if status is not None and status.failed else None
    return findings.connector(name, status, replication, state, *(cause or ()))


def stream(pipeline: RunningPipeline) -> Finding:
    """The newest driver of the stream, now."""
    running = stream_of(pipeline)
    return findings.stream(running.newest(), running.log_path())


def belongs_together(pipeline: RunningPipeline) -> Finding:
    """Source, slot, topics, checkpoint and lake, now."""
    return findings.continuity(continuity.breaks(pipeline))


def quarantine(pipeline: RunningPipeline) -> Finding:
    """What is quarantined, once the stream has read everything that is on the topics now."""
    _, behind = coverage.advance(pipeline, pipeline.tables, coverage.DEFAULT_TIMEOUT_S)
    count, rows = quarantined(pipeline.quarantine)
    return findings.quarantine(count, rows, behind)


def quarantined(location: Location) -> tuple[int, Sequence[dict[str, str]]]:
    """How many records are quarantined, and the first of them."""
    rows = open_table(location).dataset()
    columns = ["topic", "partition", "offset", "reason"]
    first = rows.head(findings.MOST_ROWS, columns=columns).to_pylist()
    return rows.count_rows(), [{name: str(row[name]) for name in columns} for row in first]
