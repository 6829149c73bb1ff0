"""What the judging functions of `cdc` found out, as findings: a sentence first, then the numbers, then the rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from test_infra.verdict.evidence import Finding, Outcome

if TYPE_CHECKING:
    from test_infra.cdc.compare import Difference, TableParity
    from test_infra.cdc.connector import ConnectorStatus
    from test_infra.cdc.offsets import OffsetAccount

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


def offsets(account: "OffsetAccount") -> Finding:
    """Where the records of one topic went."""
    counted = ", ".join(f"{count} {kind}" for kind, count in account.counts.items() if count) or "no offset"
    found = ", ".join(f"{count} {verdict.value}" for verdict, count in account.verdicts.items())
    return Finding(
        outcome=_outcome(account.verdicts),
        summary=account.reason or (f"{found} among {counted}" if found else f"every offset in exactly one place: {counted}"),
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


def connector(name: str, status: "ConnectorStatus | None", slot: str, slot_active: bool | None) -> Finding:
    """The state of a connector, of its tasks and of its slot.

    Args:
        name: of the connector.
        status: what Connect says; None when it knows no such connector.
        slot: name of the replication slot.
        slot_active: whether a walsender reads from it; None when there is no such slot.
    """
    if status is None:
        return Finding(
            outcome=Outcome.FAILED, verdicts=("NOT RUNNING",), summary=f"Connect knows no connector {name}"
        )
    rows = (
        {"part": "connector", "state": status.connector},
        *({"part": f"task {task}", "state": state} for task, state in status.tasks.items()),
        {"part": f"slot {slot}", "state": {True: "active", False: "not active", None: "not there"}[slot_active]},
    )
    healthy = status.running and slot_active is True
    unwell = [f"{row['part']} is {row['state']}" for row in rows if row["state"] not in ("RUNNING", "active")]
    unwell += [] if status.tasks else ["there is no task"]
    return Finding(
        outcome=Outcome.PASSED if healthy else Outcome.FAILED,
        verdicts=() if healthy else ("NOT RUNNING",),
        summary="connector and tasks run, the slot is active" if healthy else ", ".join(unwell),
        numbers={"tasks_running": sum(state == "RUNNING" for state in status.tasks.values()), "tasks": len(status.tasks)},
        rows=rows,
        details={f"trace of {'the connector' if task < 0 else f'task {task}'}": text for task, text in status.traces.items()},
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


def _difference(found: "Difference") -> dict[str, str]:
    return {
        "verdict": found.verdict.value,
        "key": ", ".join(f"{column}={_text(value)}" for column, value in found.key.items()),
        "column": found.column,
        "source": _text(found.source_value),
        "mirror": _text(found.mirror_value),
        "compared": found.compared,
    }


def _text(value: str | None) -> str:
    return "NULL" if value is None else value


def _offsets(ends: Mapping[int, int]) -> str:
    return ", ".join(f"{partition}:{end}" for partition, end in sorted(ends.items())) or "none"


def _or_none(version: int | None) -> str:
    return "none" if version is None else str(version)
