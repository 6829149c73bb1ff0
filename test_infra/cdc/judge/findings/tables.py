"""Findings about one table or one topic: lag, the witness of the load, offsets."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from test_infra.cdc.judge.findings.words import MOST_ROWS, offsets_text, outcome_of
from test_infra.cdc.load.history import WITH_ANOTHER
from test_infra.verdict.evidence import Finding

if TYPE_CHECKING:
    from test_infra.cdc.judge.lag import LagReport
    from test_infra.cdc.judge.offsets import OffsetAccount
    from test_infra.cdc.judge.witness import Testimony
    from test_infra.cdc.pipeline.spec import LagThresholds


def lag(report: "LagReport", thresholds: "LagThresholds") -> Finding:
    """The lag of one table's changes against the pipeline's thresholds."""
    verdicts = report.verdicts(thresholds)
    return Finding(
        outcome=outcome_of(verdicts),
        summary=_lag_summary(report, thresholds),
        verdicts=tuple(verdict.value for verdict in verdicts),
        numbers={
            "changes_measured": report.count,
            "changes_unmeasured": report.unmeasured,
            **_heartbeat_numbers(report),
            **{
                f"{hop}_{name}": value
                for hop, figures in report.hops.items()
                for name, value in asdict(figures).items()
            },
        },
        details={
            "measured since": report.since.isoformat() if report.since else "never",
            **{f"threshold {name}": str(limit) for name, limit in thresholds.model_dump().items()},
        },
        histograms=report.histograms,
        series=() if report.over_time is None else (report.over_time,),
    )


def witness(testimony: "Testimony") -> Finding:
    """What the history of the load says of one table's mirror."""
    operations = ", ".join(f"{count} {outcome.value}" for outcome, count in testimony.operations.items()) or "none"
    refused = sum(count for count, _ in testimony.refused.values())
    operations += f", {refused} of the failed ones refused by the source" if refused else ""
    judged = f"{testimony.keys} keys of the history (operations: {operations})"
    if testimony.touched:
        by = "; ".join(testimony.by) or "a trigger or a rule"
        judged += f"; {testimony.touched} keys not judged: {by} writes this table"
    if testimony.foreign:
        judged += f"; {testimony.foreign} keys not judged: somebody else wrote them since"
    found = ", ".join(f"{count} {verdict.value}" for verdict, count in testimony.counts.items())
    return Finding(
        outcome=outcome_of(testimony.counts),
        summary=testimony.reason or (f"{found} among {judged}" if found else f"the mirror agrees with {judged}"),
        verdicts=tuple(verdict.value for verdict in testimony.counts),
        numbers={
            "keys_judged": testimony.keys,
            "keys_of_others": testimony.foreign,
            "keys_touched_by_triggers": testimony.touched,
            "operations_refused": refused,
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
        details={
            f"refused by {name}" if name != words else "refused": f"{count} operations: {words}"
            for name, (count, words) in list(testimony.refused.items())[:MOST_ROWS]
            if words != WITH_ANOTHER
        },
    )


def offsets(account: "OffsetAccount") -> Finding:
    """Where the records of one topic went."""
    counted = ", ".join(f"{count} {kind}" for kind, count in account.counts.items() if count) or "no offset"
    found = ", ".join(f"{count} {verdict.value}" for verdict, count in account.verdicts.items())
    return Finding(
        outcome=outcome_of(account.verdicts),
        summary=account.reason
        or _empty_topic(account)
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
        details={"topic": account.topic, "up to": offsets_text(account.upto)},
    )


def _empty_topic(account: "OffsetAccount") -> str:
    if not account.empty:
        return ""
    return "; ".join(
        ["empty: the topic has no record, so there is no offset to account for", *filter(None, [account.moved])]
    )


def _lag_summary(report: "LagReport", thresholds: "LagThresholds") -> str:
    if report.behind:
        return report.behind
    if report.idle and report.heartbeat is not None:
        return _idle_summary(report.heartbeat, thresholds)
    if not report.count:
        return "no change and no heart-beat was measured, so nothing is proved"
    return _measured_summary(report, thresholds, "changes")


def _idle_summary(heartbeat: "LagReport", thresholds: "LagThresholds") -> str:
    if heartbeat.behind:
        return f"idle: no change of its own, and {heartbeat.behind}"
    if not heartbeat.count:
        return "idle: no change of its own, and no heart-beat was measured, so nothing is proved"
    said = f"idle: no change of its own; {_measured_summary(heartbeat, thresholds, 'heart-beats')}"
    return f"{said}; `lag: {{idle: red}}` asks for a change" if thresholds.idle == "red" else said


def _heartbeat_numbers(report: "LagReport") -> dict[str, float]:
    if report.heartbeat is None or not report.heartbeat.hops:
        return {}
    mirror = report.heartbeat.hops["commit_to_mirror"]
    return {"heartbeats": report.heartbeat.count, "heartbeat_to_mirror_max_s": mirror.max_s}


def _measured_summary(report: "LagReport", thresholds: "LagThresholds", what: str) -> str:
    mirror = report.hops["commit_to_mirror"]
    figures = f"p50 {mirror.p50_s:.2f} s, p95 {mirror.p95_s:.2f} s, max {mirror.max_s:.2f} s"
    said = f"{report.count} {what}, visible in the mirror after {figures}"
    if report.unmeasured:
        return f"{report.unmeasured} {what} could not be measured, beside {said}"
    beyond = [
        f"{name} is {seen:.2f} s, allowed {limit:g} s" for name, (seen, limit) in report.exceeded(thresholds).items()
    ]
    return f"{'; '.join(beyond)} ({said})" if beyond else said
