"""Looks at a running pipeline that only a gate needs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from test_infra.cdc.judge import findings
from test_infra.cdc.pipeline.names import PipelineFolders, PipelineNames
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.verdict.evidence import Finding

if TYPE_CHECKING:
    from test_infra.stack import Stack


def connector(stack: "Stack", spec: PipelineSpec) -> Finding:
    """The connector, its tasks and its slot, now."""
    from test_infra.cdc.pipeline.connector import ConnectClient
    from test_infra.cdc.sources.postgres import connect

    names = PipelineNames(stack.id, spec.name)
    with connect(stack.endpoint(spec.source.service), "owner") as source:
        row = source.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", [names.slot]).fetchone()
    status = ConnectClient(stack.endpoint("connect").url).status(names.connector)
    return findings.connector(names.connector, status, names.slot, None if row is None else bool(row[0]))


def stream(stack: "Stack", spec: PipelineSpec) -> Finding:
    """The newest driver of the stream, now."""
    from test_infra.cdc.stream.control import newest
    from test_infra.spark.gateway.gateway import SparkGateway

    execution = newest(stack, spec)
    return findings.stream(execution, SparkGateway(stack).log_path(execution.execution_id))


def quarantine(stack: "Stack", spec: PipelineSpec) -> Finding:
    """What is quarantined, once the stream has read everything that is on the topics now."""
    from test_infra.cdc.judge import coverage

    _, behind = coverage.advance(stack, spec, list(spec.tables), coverage.DEFAULT_TIMEOUT_S)
    count, rows = quarantined(PipelineFolders(stack.dir, spec.name))
    return findings.quarantine(count, rows, behind)


def quarantined(folders: PipelineFolders) -> tuple[int, Sequence[dict[str, str]]]:
    """How many records are quarantined, and the first of them."""
    from test_infra.cdc.lake import delta as lake

    rows = lake.dataset(folders.quarantine)
    columns = ["topic", "partition", "offset", "reason"]
    first = rows.head(findings.MOST_ROWS, columns=columns).to_pylist()
    return rows.count_rows(), [{name: str(row[name]) for name in columns} for row in first]
