"""Whether a pipeline can be captured exactly, as it is described and as its database is now. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.cdc.pipeline.captured import refuse_clashes, refuse_unmatched, resolve
from test_infra.cdc.pipeline.names import PipelineNames
from test_infra.cdc.sources import source_of
from test_infra.cdc.sources.preflight import PreflightFinding, Severity
from test_infra.cdc.sources.source import CaptureNames
from test_infra.stack.services.kafka import LARGEST_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from test_infra.cdc.pipeline.spec import PipelineSpec
    from test_infra.cdc.sources.source import Source
    from test_infra.cdc.types.table_id import CapturedTable
    from test_infra.stack import Endpoint

RECORD_LIMIT = UsageError(
    f"a change event of more than {LARGEST_MESSAGE_BYTES:,} bytes ends the connector",
    details={"counts": "the row as it is, with REPLICA IDENTITY FULL also as it was, bytea as base64 (a third more)"},
    hint="leave columns out that may be larger: `columns: exclude:`",
)


def findings(spec: PipelineSpec, stack_id: str, endpoint: Endpoint) -> list[PreflightFinding]:
    """Everything about a pipeline that is in the way of an exact capture, or worth knowing before it starts.

    Args:
        spec: the pipeline.
        stack_id: of the stack that it runs in, or would run in.
        endpoint: of the database that holds its tables.

    Raises:
        SourceUnreachable: the database did not accept the owner or the capture role.
    """
    pipeline = PipelineNames(stack_id, spec.name)
    names = CaptureNames(spec.name, pipeline.connector, pipeline.replication)

    def source_with(captured: Sequence[CapturedTable]) -> Source:
        return source_of(spec.source.kind, endpoint, captured, names)

    found: list[PreflightFinding] = []
    available = source_with(()).table_ids(spec.source.schema_name) if spec.has_patterns else []
    resolved = resolve(spec.entries, spec.excluded, available)
    captured = [table for tables in resolved.values() for table in tables]
    try:
        if spec.has_patterns and spec.source.ddl is None:
            refuse_unmatched(resolved, available)
        refuse_clashes(table.id for table in captured)
    except UsageError as error:
        found.append(PreflightFinding("tables", error))
    found += source_with(captured).preflight(spec.source.ddl)
    return [*found, PreflightFinding("size of events", RECORD_LIMIT, Severity.NOTE)]
