"""A difference that DDL explains is told with that DDL, and what cannot be followed is SCHEMA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from test_infra.base.errors import TestInfraError
from test_infra.cdc.pipeline.table_states import remembered
from test_infra.cdc.sources.table_state import TableState, ddl_between, is_of_another_shape
from test_infra.verdict.evidence import Finding, Outcome

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline

WAYS_ON = {
    "follow": "what is not followed: undo it; or make the pipeline anew (test-infra down, then the run again), which "
    "takes the table as it is now",
    "refuse": "DDL is not followed: undo it; or say schema_changes: follow in the pipeline's YAML; or make the "
    "pipeline anew (test-infra down, then the run again), which takes the table as it is now",
}
"""Policy of the pipeline for schema changes -> what to try."""
EVENTS_OF_A_KEY = "where values changed without an event, UPDATE ... SET column = column brings one for each row"
EVENTS_WITHOUT_A_KEY = (
    "where values changed without an event, take the rows out and put them in again, in one transaction, because a "
    "table without a key takes no UPDATE: CREATE TEMP TABLE copy AS TABLE t; TRUNCATE t; INSERT INTO t TABLE copy"
)
"""What brings an event for each row, while DDL is followed."""


def explained(pipeline: RunningPipeline, findings: Mapping[str, Finding]) -> dict[str, Finding]:
    """The findings of tables; a red one of a table that is not what it was names the DDL.

    Nothing turns green by it. A table of another shape that was not judged is SCHEMA.
    """
    before = remembered(pipeline)
    if all(finding.passed for finding in findings.values()):
        return dict(findings)
    try:
        now = pipeline.source.table_states({label: state.identity for label, state in before.items()})
    except TestInfraError:
        return dict(findings)  # the source does not answer: the finding says what was seen
    return {
        label: finding
        if finding.passed or label not in before
        else _told(finding, before[label], now.get(label), _way_on(pipeline.spec.schema_changes, before[label]))
        for label, finding in findings.items()
    }


def _way_on(policy: str, before: TableState) -> str:
    if policy != "follow":
        return WAYS_ON[policy]
    return f"{EVENTS_OF_A_KEY if before.key else EVENTS_WITHOUT_A_KEY}; {WAYS_ON[policy]}"


def _told(finding: Finding, before: TableState, now: TableState | None, way_on: str) -> Finding:
    found = ddl_between(before, now)
    if not found:
        return finding
    told = "; ".join(found)
    update: dict[str, object] = {
        "summary": f"{finding.summary}; DDL since the pipeline was prepared: {told}",
        "details": {**finding.details, "DDL since the pipeline was prepared": "\n".join(found), "way on": way_on},
    }
    if finding.outcome is Outcome.UNKNOWN and is_of_another_shape(before, now):
        update |= {"outcome": Outcome.FAILED, "verdicts": ("SCHEMA",), "summary": f"not followed: {told}"}
    return finding.model_copy(update=update)
