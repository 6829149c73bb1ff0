"""What the judging functions of `cdc` found out, as findings: a sentence first, then the numbers, then the rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.cdc.sources.source import CaptureState
from test_infra.spark.gateway.states import JobState
from test_infra.verdict.evidence import FROM_CHARACTER, Finding, Outcome

if TYPE_CHECKING:
    from test_infra.cdc.judge.differences import Difference, TableParity
    from test_infra.cdc.judge.lag import LagReport
    from test_infra.cdc.judge.offsets import OffsetAccount
    from test_infra.cdc.judge.witness import Testimony
    from test_infra.cdc.pipeline.connect_client import ConnectorStatus
    from test_infra.cdc.pipeline.spec import LagThresholds
    from test_infra.cdc.sources.origin import Break
    from test_infra.spark.gateway.execution import Execution

UNKNOWN = "UNKNOWN"
MOST_ROWS = 50


def parity(table: "TableParity") -> Finding:
    """The comparison of one table at a cut."""
    return Finding(
        outcome=_outcome(table.verdicts),
        summary=_parity_summary(table),
        verdicts=tuple(verdict.value for verdict in table.verdicts),
        numbers={
            "source_rows": table.source_rows,
            "mirror_rows": table.mirror_rows,
            "changes": table.changes,
            "clean_keys": table.clean_keys,
            "dirty_keys": table.dirty_keys,
            "faults": table.faults,
            **{f"faults_{verdict.value.lower()}": count for verdict, count in table.counts.items()},
        },
        rows=tuple(_difference(found) for found in table.differences[:MOST_ROWS]),
        details={
            "watermark": _offsets(table.watermark),
            "applied": _offsets(table.applied),
            "mirror version": _or_none(table.mirror_version),
            "change log version": _or_none(table.changes_version),
        },
    )


def lag(report: "LagReport", thresholds: "LagThresholds") -> Finding:
    """The lag of one table's changes against the pipeline's thresholds."""
    verdicts = report.verdicts(thresholds)
    return Finding(
        outcome=_outcome(verdicts),
        summary=_lag_summary(report, thresholds),
        verdicts=tuple(verdict.value for verdict in verdicts),
        numbers={
            "changes_measured": report.count,
            "changes_unmeasured": report.unmeasured,
            **{
                f"{hop}_{name}": value
                for hop, figures in report.hops.items()
                for name, value in asdict(figures).items()
            },
        },
        details={
            "measured since": report.since.isoformat() if report.since else "never",
            **{f"threshold {name}": f"{limit:g}" for name, limit in thresholds.model_dump().items()},
        },
        histograms=report.histograms,
        series=() if report.over_time is None else (report.over_time,),
    )


def witness(testimony: "Testimony") -> Finding:
    """What the history of the load says of one table's mirror."""
    operations = ", ".join(f"{count} {outcome.value}" for outcome, count in testimony.operations.items()) or "none"
    judged = f"{testimony.keys} keys of the history (operations: {operations})"
    found = ", ".join(f"{count} {verdict.value}" for verdict, count in testimony.counts.items())
    return Finding(
        outcome=_outcome(testimony.counts),
        summary=testimony.reason or (f"{found} among {judged}" if found else f"the mirror agrees with {judged}"),
        verdicts=tuple(verdict.value for verdict in testimony.counts),
        numbers={
            "keys_judged": testimony.keys,
            "keys_of_others": testimony.foreign,
            **{f"operations_{outcome.value}": count for outcome, count in testimony.operations.items()},
        },
        rows=tuple(
            {
                "verdict": fault.verdict.value,
                "key": ", ".join(map(str, fault.key)),
                "operation": str(fault.operation),
                "seen": fault.seen,
            }
            for fault in testimony.faults[:MOST_ROWS]
        ),
    )


def offsets(account: "OffsetAccount") -> Finding:
    """Where the records of one topic went."""
    counted = ", ".join(f"{count} {kind}" for kind, count in account.counts.items() if count) or "no offset"
    found = ", ".join(f"{count} {verdict.value}" for verdict, count in account.verdicts.items())
    return Finding(
        outcome=_outcome(account.verdicts),
        summary=account.reason
        or (f"{found} among {counted}" if found else f"every offset in exactly one place: {counted}"),
        verdicts=tuple(verdict.value for verdict in account.verdicts),
        numbers={f"offsets_{kind}": count for kind, count in account.counts.items()},
        rows=tuple(
            {
                "partition": str(fault.partition),
                "offset": str(fault.offset),
                "verdict": fault.verdict.value,
                "seen": fault.seen,
            }
            for fault in account.faults[:MOST_ROWS]
        ),
        details={"topic": account.topic, "up to": _offsets(account.upto)},
    )


def quarantine(count: int, rows: Sequence[Mapping[str, str]], behind: Mapping[str, str]) -> Finding:
    """What was set aside on a pipeline's topics.

    Args:
        count: quarantined records, all of them.
        rows: the first of them.
        behind: table -> why the stream did not get to the end of its topic in time.
    """
    if count:
        return Finding(
            outcome=Outcome.FAILED,
            verdicts=("QUARANTINED",),
            summary=f"{count} records could not be read and were set aside",
            numbers={"quarantined": count},
            rows=tuple(dict(row) for row in rows[:MOST_ROWS]),
        )
    if behind:
        return Finding(
            outcome=Outcome.FAILED,
            verdicts=("LAG",),
            summary=f"the stream did not get to the end of {', '.join(behind)} in time",
            numbers={"quarantined": 0},
            details=dict(behind),
        )
    return Finding(outcome=Outcome.PASSED, summary="nothing was set aside", numbers={"quarantined": 0})


def connector(name: str, status: "ConnectorStatus | None", replication: str, capture: CaptureState) -> Finding:
    """The state of a connector, of its tasks and of its slot.

    Args:
        name: of the connector.
        status: what Connect says; None when it knows no such connector.
        replication: what the source keeps for the connector, such as ``slot ti_...``.
        capture: whether the connector reads from it.
    """
    if status is None:
        return Finding(outcome=Outcome.FAILED, verdicts=("NOT RUNNING",), summary=f"Connect knows no connector {name}")
    rows = (
        {"part": "connector", "state": status.connector},
        *({"part": f"task {task}", "state": state} for task, state in status.tasks.items()),
        {"part": replication, "state": capture.value},
    )
    healthy = status.running and capture is CaptureState.ACTIVE
    well = ("RUNNING", CaptureState.ACTIVE)
    unwell = [f"{row['part']} is {row['state']}" for row in rows if row["state"] not in well]
    unwell += [] if status.tasks else ["there is no task"]
    return Finding(
        outcome=Outcome.PASSED if healthy else Outcome.FAILED,
        verdicts=() if healthy else ("NOT RUNNING",),
        summary="connector and tasks run, the slot is active" if healthy else ", ".join(unwell),
        numbers={
            "tasks_running": sum(state == "RUNNING" for state in status.tasks.values()),
            "tasks": len(status.tasks),
        },
        rows=rows,
        details={
            f"trace of {'the connector' if task < 0 else f'task {task}'}": text for task, text in status.traces.items()
        },
    )


def continuity(found: Sequence["Break"]) -> Finding:
    """Where a pipeline does not hang together."""
    return Finding(
        outcome=Outcome.FAILED if found else Outcome.PASSED,
        verdicts=("BROKEN",) if found else (),
        summary=f"{found[0].part}: {found[0].what}" if found else "source, slot, topics, checkpoint and lake are whole",
        numbers={"breaks": len(found)},
        rows=tuple({"part": item.part, "seen": item.what} for item in found[:MOST_ROWS]),
    )


def stream(execution: "Execution", log: Path) -> Finding:
    """The newest submission of a stream."""
    running = execution.state is JobState.RUNNING
    error = execution.error.strip().splitlines()[0] if execution.error.strip() else f"exit code {execution.exit_code}"
    return Finding(
        outcome=Outcome.PASSED if running else Outcome.FAILED,
        verdicts=() if running else ("NOT RUNNING",),
        summary="the stream runs" if running else f"the stream is {execution.state.value}: {error}",
        details={"execution id": execution.execution_id, "state": execution.state.value, "log": str(log)}
        | ({"error": execution.error} if execution.error else {}),
    )


def _outcome(verdicts: Iterable[str]) -> Outcome:
    """Unknown only where nothing else was found: one missing row says more than ten unknowns."""
    found = set(verdicts)
    if not found:
        return Outcome.PASSED
    return Outcome.UNKNOWN if found == {UNKNOWN} else Outcome.FAILED


def _parity_summary(table: "TableParity") -> str:
    if table.reason:
        return table.reason
    keys = f"{table.clean_keys} keys compared with the source and {table.dirty_keys} through the change log"
    if not table.counts:
        return f"equal: {table.source_rows} rows, {keys}"
    found = ", ".join(f"{count} {verdict.value}" for verdict, count in table.counts.items())
    return f"{found} among {keys}"


def _lag_summary(report: "LagReport", thresholds: "LagThresholds") -> str:
    if report.behind:
        return report.behind
    if not report.count:
        return "no change was measured, so nothing is proved"
    mirror = report.hops["commit_to_mirror"]
    figures = f"p50 {mirror.p50_s:.2f} s, p95 {mirror.p95_s:.2f} s, max {mirror.max_s:.2f} s"
    said = f"{report.count} changes, visible in the mirror after {figures}"
    if report.unmeasured:
        return f"{report.unmeasured} changes could not be measured, beside {said}"
    beyond = [
        f"{name} is {seen:.2f} s, allowed {limit:g} s" for name, (seen, limit) in report.exceeded(thresholds).items()
    ]
    return f"{'; '.join(beyond)} ({said})" if beyond else said


def _difference(found: "Difference") -> dict[str, str]:
    return {
        "verdict": found.verdict.value,
        "key": ", ".join(f"{column}={_text(value)}" for column, value in found.key.items()),
        "column": found.column,
        "source": _value(found, found.source_value),
        "mirror": _value(found, found.mirror_value),
        "compared": found.compared,
        **({FROM_CHARACTER: str(found.skipped + 1)} if found.skipped else {}),
    }


def _value(found: "Difference", value: str | None) -> str:
    # Without a column the whole row is concerned, and nothing there is no row.
    return "no row" if value is None and not found.column else _text(value)


def _text(value: str | None) -> str:
    return "NULL" if value is None else value


def _offsets(ends: Mapping[int, int]) -> str:
    return ", ".join(f"{partition}:{end}" for partition, end in sorted(ends.items())) or "none"


def _or_none(version: int | None) -> str:
    return "none" if version is None else str(version)
