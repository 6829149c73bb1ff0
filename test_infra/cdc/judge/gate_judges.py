"""What each gate of a pipeline looks at: gate -> function from a running pipeline to a finding for each subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from test_infra.cdc.judge import findings, lag, offsets, parity, probes, witness
from test_infra.cdc.judge.ddl import explained
from test_infra.cdc.judge.table_by_table import judged, judged_together

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.verdict.evidence import Finding

PipelineJudge = Callable[["RunningPipeline", Sequence[str]], Mapping[str, "Finding"]]
"""Takes the pipeline and the subjects that are asked for (lines under ``tables:``, mostly); a subject left out counts
as unknown."""


def _parity(pipeline: RunningPipeline, tables: Sequence[str]) -> Mapping[str, Finding]:
    def compared(together: Sequence[str]) -> Mapping[str, Finding]:
        report = parity.check(pipeline, together)
        return {table: findings.parity(result) for table, result in report.tables.items()}

    return explained(pipeline, judged(compared, tables))


def _lag(pipeline: RunningPipeline, _tables: Sequence[str]) -> Mapping[str, Finding]:
    def measured(_together: Sequence[str]) -> Mapping[str, Finding]:
        return {table: findings.lag(result, pipeline.spec.lag) for table, result in lag.check(pipeline).items()}

    return explained(pipeline, judged_together(measured, pipeline.tables))


def _offsets(pipeline: RunningPipeline, tables: Sequence[str]) -> Mapping[str, Finding]:
    def accounted(together: Sequence[str]) -> Mapping[str, Finding]:
        return {table: findings.offsets(account) for table, account in offsets.check(pipeline, together).items()}

    return judged(accounted, tables)


def _witness(pipeline: RunningPipeline, _tables: Sequence[str]) -> Mapping[str, Finding]:
    def testified(_together: Sequence[str]) -> Mapping[str, Finding]:
        return {table: findings.witness(result) for table, result in witness.check(pipeline).items()}

    return explained(pipeline, judged_together(testified, pipeline.tables))


def _by_entry(judge: PipelineJudge) -> PipelineJudge:
    """A judge of lines under ``tables:``, from one of tables: the tables of a pattern have one finding together."""

    def of_entries(pipeline: RunningPipeline, labels: Sequence[str]) -> Mapping[str, Finding]:
        captured = pipeline.captured
        asked = [table.id.label for label in labels for table in captured[label]]
        found = judge(pipeline, asked)
        together: dict[str, Finding] = {}
        for label in labels:
            tables = [table.id.label for table in captured[label]]
            if tables == [label]:
                together |= {label: found[label]} if label in found else {}
            else:
                together[label] = findings.of_pattern({table: found.get(table) for table in tables})
        return together

    return of_entries


def _alone(probe: Callable[[RunningPipeline], Finding]) -> PipelineJudge:
    """A judge of one subject, whatever that is called."""
    return lambda pipeline, subjects: {subject: probe(pipeline) for subject in subjects}


JUDGES: Mapping[str, PipelineJudge] = {
    "parity": _by_entry(_parity),
    "lag": _by_entry(_lag),
    "offsets": _by_entry(_offsets),
    "witness": _by_entry(_witness),
    "quarantine": _alone(probes.quarantine),
    "connector": _alone(probes.connector),
    "load": _alone(probes.load),
    "continuity": _alone(probes.belongs_together),
    "stream": _alone(probes.stream),
}
