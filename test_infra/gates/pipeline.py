"""The gates of a pipeline: one line each in a table; the judging is in `cdc.judge.gate_judges`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.gates.gate import SOON, Gate, Judge, JudgeContext
from test_infra.resources.keys import connector_key, load_key, stream_key, table_keys
from test_infra.verdict.evidence import Finding

PARITY = """Every row and column of the source is in the mirror, exactly, at one cut under live load; change log and
mirror agree.

Red: MISSING, EXTRA, VALUE, SCHEMA, DUPLICATE, ORDER name the keys and columns in the table of rows; LAG says that
the pipeline did not get there in time, which is no loss; UNKNOWN that nothing could be told. Look first at the rows,
then at the log of the stream."""

LAG = """Changes committed while the stream ran were durable in the change log and visible in the mirror within the
pipeline's thresholds.

A table without a change is idle: it is as late as the pipeline's heart-beats, which the gate sends when it looks and
which write into no table. Red also when neither a change nor a heart-beat was measured, and with `lag: {idle: red}`
where there was no change. Look first at which hop is slow: commit to Kafka is the connector, Kafka to change log is
the stream's micro-batch, change log to mirror is the merge."""

WITNESS = """What the load's own history says happened is what the mirror shows: nothing acknowledged is absent,
nothing rolled back is present.

Red: LOST or GHOST, with table and key. This witness does not depend on the source's snapshot. Look first at the
operation in the history."""

OFFSETS = """Every offset of the topic up to the cut is exactly one of change, tombstone, quarantined, re-delivery,
control record.

Red: an offset that is nowhere, or in two places. Look first at the record in Kafka with that offset, then at the
stream's log."""

LOAD = """The traffic of the pipeline ran, goes on as it should, and wrote into the captured tables.

Red: it ended with an error, also in the background while the gates looked; its last words are in the summary. UNKNOWN:
no change of a captured table came of it, so whatever else is green proves nothing. Look first at its log."""

QUARANTINE = """Nothing on the pipeline's topics was set aside because it could not be read.

Red: records with topic, partition, offset and reason in the table. The stream went on without them, so rows are
missing. Look first at the reason, then at the record."""

STREAM = """The Spark application that writes change log and mirror runs.

Red: it ended by itself; its last words are in the details. Everything behind it is LAG then. Look first at its log."""

CONNECTOR = """The connector and every one of its tasks run, and the replication slot is active.

Red: a task may be FAILED under a RUNNING connector; its trace is in the details. Look first there, then at the log
of Connect."""

CONTINUITY = """Publication, slot, tables, topics, checkpoint and lake are still the ones that the change log was made
from, and complete: nothing on the way was replaced, cut or lost.

Red: something was dropped and made again, invalidated, cut by retention, or is of another pipeline; changes may be
lost although every row is equal today. Look first at the table of rows, then at docs/continuity.md."""


@dataclass(frozen=True)
class PipelineGate:
    """One line of the table of gates.

    Args:
        name: of the check, and of its judge.
        promise: see `Gate`.
        on: which assets it sits on: ``mirror`` or ``changes`` (one a table), ``connector``, ``stream``.
        priority: see `Gate`.
        needs_load: a pipeline without a load has no such gate.
        needs_history: it judges by the history of the load; one whose load writes none has no such gate.
    """

    name: str
    promise: str
    on: str
    priority: str = SOON
    needs_load: bool = False
    needs_history: bool = False


GATES = (
    PipelineGate("parity", PARITY, on="mirror"),
    PipelineGate("lag", LAG, on="mirror"),
    PipelineGate("offsets", OFFSETS, on="changes"),
    PipelineGate("quarantine", QUARANTINE, on="stream"),
    PipelineGate("connector", CONNECTOR, on="connector"),
    PipelineGate("continuity", CONTINUITY, on="connector"),
    PipelineGate("stream", STREAM, on="stream"),
    PipelineGate("load", LOAD, on="load", needs_load=True),
    PipelineGate("witness", WITNESS, on="mirror", needs_history=True),
)


def pipeline_gates(spec: PipelineSpec) -> list[Gate]:
    """Every gate of a pipeline; all look when load, change log and mirror are there.

    Args:
        spec: the pipeline, with absolute paths.
    """
    mirror = table_keys(spec, "mirror")
    assets: dict[str, Mapping[str, dg.AssetKey]] = {
        "mirror": mirror,
        "changes": table_keys(spec, "changes"),
        "connector": {"connector": connector_key(spec.name)},
        "stream": {"stream": stream_key(spec.name)},
        "load": {"load": load_key(spec.name)},
    }
    return [
        Gate(
            name=row.name,
            step=f"{spec.name}__gate_{row.name}",
            promise=row.promise,
            subjects=_witnessed(assets[row.on], spec) if row.needs_history else assets[row.on],
            judge=_judge(row.name, spec),
            priority=row.priority,
            after=tuple(mirror.values()),
        )
        for row in GATES
        if (spec.load or not row.needs_load)
        and (not row.needs_history or (spec.load and spec.load.witnessed and _witnessed(mirror, spec)))
    ]


def _witnessed(of_tables: Mapping[str, dg.AssetKey], spec: PipelineSpec) -> dict[str, dg.AssetKey]:
    """Tables that the history of the load can judge: it does not know which of its rows a row filter keeps."""
    filtered = {entry.label for entry in spec.entries if entry.where}
    return {label: key for label, key in of_tables.items() if label not in filtered}


def _judge(name: str, spec: PipelineSpec) -> Judge:
    def judge(context: JudgeContext, subjects: Sequence[str]) -> Mapping[str, Finding]:
        from test_infra.cdc.judge.gate_judges import JUDGES
        from test_infra.cdc.pipeline.running import RunningPipeline

        return JUDGES[name](RunningPipeline(context.stack, spec), subjects)

    return judge
