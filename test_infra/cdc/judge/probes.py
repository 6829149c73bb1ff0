"""What a gate sees of a running pipeline beside its rows: connector, stream, quarantine, continuity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from test_infra.cdc.judge import continuity, coverage, findings
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.load import control
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


def load(pipeline: RunningPipeline) -> Finding:
    """The load, now; of a user's own traffic also how many changes came of it."""
    seen, log = control.status(pipeline), control.log_path(pipeline)
    generated = pipeline.spec.load is None or pipeline.spec.load.generated
    changes = None if generated or seen.error else changes_since(pipeline, seen.started_at or 0.0)
    return findings.load(seen, changes, log)


def changes_since(pipeline: RunningPipeline, started_at: float) -> int:
    """Changes in the change logs that were committed since, once everything that is committed now has arrived.

    Args:
        pipeline: whose tables are looked at; one whose changes have not arrived in time has none.
        started_at: epoch seconds.
    """
    covered, _ = coverage.advance(pipeline, pipeline.tables, coverage.DEFAULT_TIMEOUT_S)
    found = 0
    for table, reached in covered.items():
        for batch in open_table(pipeline.changes(table), reached.changes_version).rows(["op", "commit_ts"]):
            found += sum(
                row["op"] in ("c", "u", "d", "t") and row["commit_ts"] is not None
                and row["commit_ts"].timestamp() >= started_at
                for row in batch.to_pylist()
            )  # fmt: skip
    return found


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
