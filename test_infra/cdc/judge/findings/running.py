"""Findings about what runs: connector, stream, quarantine, and whether the parts belong together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.cdc.judge.findings.words import MOST_ROWS
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.sources.source import CaptureState
from test_infra.spark.gateway.states import JobState
from test_infra.verdict.evidence import Finding, Outcome

if TYPE_CHECKING:
    from test_infra.cdc.load.run import LoadStatus
    from test_infra.cdc.pipeline.connect_client import ConnectorStatus
    from test_infra.cdc.sources.origin import Break
    from test_infra.spark.gateway.execution import Execution


def quarantine(count: int, rows: Sequence[Mapping[str, str]], behind: Mapping[str, str]) -> Finding:
    """Records of a pipeline's topics that could not be read and were set aside.

    Args:
        count: quarantined records, all of them.
        rows: the first of them.
        behind: table -> why the stream did not get to the end of its topic in time.
    """
    if count:
        return Finding(
            outcome=Outcome.FAILED,
            verdicts=(Verdict.QUARANTINED.value,),
            summary=f"{count} records could not be read and were set aside",
            numbers={"quarantined": count},
            rows=tuple(dict(row) for row in rows[:MOST_ROWS]),
        )
    if behind:
        return Finding(
            outcome=Outcome.FAILED,
            verdicts=(Verdict.LAG.value,),
            summary=f"the stream did not get to the end of {', '.join(behind)} in time",
            numbers={"quarantined": 0},
            details=dict(behind),
        )
    return Finding(outcome=Outcome.PASSED, summary="nothing was set aside", numbers={"quarantined": 0})


def connector(
    name: str,
    status: "ConnectorStatus | None",
    replication: str,
    capture: CaptureState,
    cause: str = "",
    about_cause: Mapping[str, str] | None = None,
) -> Finding:
    """The state of a connector, of its tasks and of its slot.

    Args:
        name: of the connector.
        status: what Connect says; None when it knows no such connector.
        replication: what the source keeps for the connector, such as ``slot ti_...``.
        capture: whether the connector reads from it.
        cause: why it failed, in words, where that is known.
        about_cause: label -> what else is known of the cause.
    """
    if status is None:
        return Finding(
            outcome=Outcome.FAILED, verdicts=(Verdict.NOT_RUNNING.value,), summary=f"Connect knows no connector {name}"
        )
    rows = (
        {"part": "connector", "state": status.connector},
        *({"part": f"task {task}", "state": state} for task, state in status.tasks.items()),
        {"part": replication, "state": capture.value},
    )
    healthy = status.running and capture is CaptureState.ACTIVE
    well = ("RUNNING", CaptureState.ACTIVE)
    unwell = [f"{row['part']} is {row['state']}" for row in rows if row["state"] not in well]
    unwell += [] if status.tasks else ["there is no task"]
    unwell = [cause, *unwell] if cause else unwell
    return Finding(
        outcome=Outcome.PASSED if healthy else Outcome.FAILED,
        verdicts=() if healthy else (Verdict.NOT_RUNNING.value,),
        summary="connector and tasks run, the slot is active" if healthy else ", ".join(unwell),
        numbers={
            "tasks_running": sum(state == "RUNNING" for state in status.tasks.values()),
            "tasks": len(status.tasks),
        },
        rows=rows,
        details=dict(about_cause or {})
        | {f"trace of {'the connector' if task < 0 else f'task {task}'}": text for task, text in status.traces.items()},
    )


def continuity(found: Sequence["Break"]) -> Finding:
    """Continuity breaks found."""
    return Finding(
        outcome=Outcome.FAILED if found else Outcome.PASSED,
        verdicts=(Verdict.BROKEN.value,) if found else (),
        summary=f"{found[0].part}: {found[0].what}" if found else "source, slot, topics, checkpoint and lake are whole",
        numbers={"breaks": len(found)},
        rows=tuple({"part": item.part, "seen": item.what} for item in found[:MOST_ROWS]),
    )


def load(status: "LoadStatus", changes: int | None, log: Path) -> Finding:
    """What became of the load.

    Args:
        status: the newest that it said.
        changes: changes of captured tables since it began; None where the history says what it wrote.
        log: of its process.
    """
    numbers = {"runs": status.runs} if changes is not None else {"operations_done": status.operations_done}
    details = {"log": str(log)} | ({"error": status.error} if status.error else {})
    if status.error:
        verdicts, summary = (Verdict.NOT_RUNNING.value,), f"the load ended early: {status.error.splitlines()[0]}"
        return Finding(outcome=Outcome.FAILED, verdicts=verdicts, summary=summary, numbers=numbers, details=details)
    if status.started_at is None or changes == 0:
        what = (
            "the load did not begin" if status.started_at is None else "no change of a captured table came of the load"
        )
        return Finding(
            outcome=Outcome.UNKNOWN,
            verdicts=(Verdict.UNKNOWN.value,),
            summary=f"{what}, so nothing is proved",
            numbers=numbers,
            details=details,
        )
    much = f"{status.operations_done} operations" if changes is None else f"{status.runs} runs, {changes} changes"
    return Finding(
        outcome=Outcome.PASSED,
        summary=f"the load ran: {much}",
        numbers=numbers | ({} if changes is None else {"changes": changes}),
        details=details,
    )


def stream(execution: "Execution", log: Path) -> Finding:
    """The newest submission of a stream."""
    running = execution.state is JobState.RUNNING
    error = execution.error.strip().splitlines()[0] if execution.error.strip() else f"exit code {execution.exit_code}"
    return Finding(
        outcome=Outcome.PASSED if running else Outcome.FAILED,
        verdicts=() if running else (Verdict.NOT_RUNNING.value,),
        summary="the stream runs" if running else f"the stream is {execution.state.value}: {error}",
        details={"execution id": execution.execution_id, "state": execution.state.value, "log": str(log)}
        | ({"error": execution.error} if execution.error else {}),
    )
