"""The gates of a pipeline: one line each, the judging is below `cdc`."""

from collections.abc import Mapping, Sequence

import dagster as dg

from test_infra.cdc.judge import findings
from test_infra.cdc.judge import probes as looks
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.gates.gate import FIRST, SOON, Gate, Judge, JudgeContext
from test_infra.resources.keys import connector_key, stream_key, table_keys
from test_infra.verdict.evidence import Finding

PARITY = """Every row and column of the source is in the mirror, exactly, at one cut under live load; change log and
mirror agree.

Red: MISSING, EXTRA, VALUE, SCHEMA, DUPLICATE, ORDER name the keys and columns in the table of rows; LAG says that
the pipeline did not get there in time, which is no loss; UNKNOWN that nothing could be told. Look first at the rows,
then at the log of the stream."""

LAG = """Changes committed while the stream ran were durable in the change log and visible in the mirror within the
pipeline's thresholds.

Red also when nothing was measured: an idle source proves nothing. Look first at which hop is slow: commit to Kafka
is the connector, Kafka to change log is the stream's micro-batch, change log to mirror is the merge."""

WITNESS = """What the load's own history says happened is what the mirror shows: nothing acknowledged is absent,
nothing rolled back is present.

Red: LOST or GHOST, with table and key. This witness does not depend on the source's snapshot. Look first at the
operation in the history."""

OFFSETS = """Every offset of the topic up to the cut is exactly one of change, tombstone, quarantined, re-delivery,
control record.

Red: an offset that is nowhere, or in two places. Look first at the record in Kafka with that offset, then at the
stream's log."""

QUARANTINE = """Nothing on the pipeline's topics was set aside because it could not be read.

Red: records with topic, partition, offset and reason in the table. The stream went on without them, so rows are
missing. Look first at the reason, then at the record."""

STREAM = """The Spark application that writes change log and mirror runs.

Red: it ended by itself; its last words are in the details. Everything behind it is LAG then. Look first at its log."""

CONNECTOR = """The connector and every one of its tasks run, and the replication slot is active.

Red: a task may be FAILED under a RUNNING connector; its trace is in the details. Look first there, then at the log
of Connect."""

CONTINUITY = """What carries the rows still hangs together: publication, slot, tables, topics, checkpoint and lake are
the ones that the change log was made from, whole, and nothing on the way was cut.

Red: something was dropped and made again, invalidated, cut by retention, or is of another pipeline; changes may be
lost although every row is equal today. Look first at the table of rows, then at docs/continuity.md."""


def pipeline_gates(spec: PipelineSpec) -> list[Gate]:
    """Every gate of a pipeline; all look when load, change log and mirror are there.

    Args:
        spec: the pipeline, with absolute paths.
    """
    mirror, changes = table_keys(spec, "mirror"), table_keys(spec, "changes")
    connector, stream = {"connector": connector_key(spec.name)}, {"stream": stream_key(spec.name)}
    judges: list[tuple[str, str, Mapping[str, dg.AssetKey], Judge]] = [
        ("parity", PARITY, mirror, _parity(spec)),
        ("lag", LAG, mirror, _lag(spec)),
        ("offsets", OFFSETS, changes, _offsets(spec)),
        ("quarantine", QUARANTINE, stream, _quarantine(spec)),
        ("connector", CONNECTOR, connector, _connector(spec)),
        ("continuity", CONTINUITY, connector, _continuity(spec)),
        ("stream", STREAM, stream, _stream(spec)),
    ]
    if spec.load:
        judges.append(("witness", WITNESS, mirror, _witness(spec)))
    after = tuple(mirror.values())
    # The gate of lag writes a row of an idle table again, which would mend what parity has to find in it.
    priority = {"parity": FIRST}
    return [
        Gate(
            name, f"{spec.name}__gate_{name}", promise, subjects, judge, priority=priority.get(name, SOON), after=after
        )
        for name, promise, subjects, judge in judges
    ]


def _parity(spec: PipelineSpec) -> Judge:
    def judge(scene: JudgeContext, subjects: Sequence[str]) -> Mapping[str, Finding]:
        from test_infra.cdc.judge import parity

        report = parity.check(scene.stack, spec, tables=list(subjects))
        return {table: findings.parity(result) for table, result in report.tables.items()}

    return judge


def _lag(spec: PipelineSpec) -> Judge:
    def judge(scene: JudgeContext, _subjects: Sequence[str]) -> Mapping[str, Finding]:
        from test_infra.cdc.judge import lag

        return {table: findings.lag(result, spec.lag) for table, result in lag.check(scene.stack, spec).items()}

    return judge


def _witness(spec: PipelineSpec) -> Judge:
    def judge(scene: JudgeContext, _subjects: Sequence[str]) -> Mapping[str, Finding]:
        from test_infra.cdc.judge import witness

        return {table: findings.witness(result) for table, result in witness.check(scene.stack, spec).items()}

    return judge


def _offsets(spec: PipelineSpec) -> Judge:
    def judge(scene: JudgeContext, subjects: Sequence[str]) -> Mapping[str, Finding]:
        from test_infra.cdc.judge import offsets

        accounts = offsets.check(scene.stack, spec, tables=list(subjects))
        return {table: findings.offsets(account) for table, account in accounts.items()}

    return judge


def _quarantine(spec: PipelineSpec) -> Judge:
    def judge(scene: JudgeContext, _subjects: Sequence[str]) -> Mapping[str, Finding]:
        return {"stream": looks.quarantine(scene.stack, spec)}

    return judge


def _connector(spec: PipelineSpec) -> Judge:
    def judge(scene: JudgeContext, _subjects: Sequence[str]) -> Mapping[str, Finding]:
        return {"connector": looks.connector(scene.stack, spec)}

    return judge


def _continuity(spec: PipelineSpec) -> Judge:
    def judge(scene: JudgeContext, _subjects: Sequence[str]) -> Mapping[str, Finding]:
        from test_infra.cdc.judge import continuity

        return {"connector": findings.continuity(continuity.breaks(scene.stack, spec))}

    return judge


def _stream(spec: PipelineSpec) -> Judge:
    def judge(scene: JudgeContext, _subjects: Sequence[str]) -> Mapping[str, Finding]:
        return {"stream": looks.stream(scene.stack, spec)}

    return judge
