"""The gate on the services of a stack."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite

import dagster as dg

from test_infra.gates.gate import LATE, Gate, JudgeContext
from test_infra.resources.keys import service_key
from test_infra.verdict.evidence import Finding, Outcome
from test_infra.verdict.run import read_record

PROMISE = """No service ended by itself or was restarted during the run, and each is usable at its end.

A service that dies and comes back may hide what it lost, so a restart that nobody planned is red even when every
table is right. Look first at the events in the table, then at the log of the service, then at `test-infra doctor`
(memory)."""


def service_stability(services: Sequence[str], after: Sequence[dg.AssetKey] = ()) -> Gate:
    """The gate that looks at every service when everything else is done.

    Args:
        services: names of the services.
        after: assets after which it looks.
    """
    return Gate(
        name="service_stability",
        step="service_stability",
        promise=PROMISE,
        subjects={service: service_key(service) for service in services},
        judge=_judge,
        priority=LATE,
        after=tuple(after),
    )


def _judge(scene: JudgeContext, subjects: Sequence[str]) -> Mapping[str, Finding]:
    states = {service.name: (service.state, service.detail) for service in scene.stack.status().services}
    record = read_record(scene.run_dir)
    since = record.started_at.timestamp() if record else 0.0
    events = [event for event in scene.stack.events() if _time(event) >= since]
    return {service: judge_service(service, states.get(service), events) for service in subjects}


def judge_service(service: str, state: tuple[str, str] | None, events: Sequence[Mapping[str, object]]) -> Finding:
    """The verdict on one service.

    Args:
        service: its name.
        state: its state now and why; None when the stack does not know it.
        events: what happened to the stack's processes during the run, oldest first.
    """
    unplanned = [event for event in events if event.get("service") == service and event.get("event") in UNPLANNED]
    rows = tuple(
        {"time": _moment(event), **{name: str(event.get(name, "")) for name in ("event", "detail")}}
        for event in unplanned
    )
    numbers = {"unplanned_events": float(len(unplanned))}
    if state is None:
        return Finding(
            outcome=Outcome.UNKNOWN, verdicts=("UNKNOWN",), summary=f"the stack has no service {service}", rows=rows
        )
    if unplanned:
        return Finding(
            outcome=Outcome.FAILED,
            verdicts=("UNSTABLE",),
            summary=f"{service} ended or restarted {len(unplanned)} times without being asked to",
            numbers=numbers,
            rows=rows,
        )
    if state[0] not in USABLE:
        return Finding(
            outcome=Outcome.FAILED,
            verdicts=("UNSTABLE",),
            summary=f"{service} is {state[0]}: {state[1]}",
            numbers=numbers,
        )
    return Finding(outcome=Outcome.PASSED, summary=f"{service} is {state[0]} and was never restarted", numbers=numbers)


UNPLANNED = frozenset({"ended", "restarted", "given up", "over its memory limit"})
"""Events of the keeper that nobody asked for; a service that was stopped on request leaves none of them."""
USABLE = frozenset({"usable", "external"})


def _moment(event: Mapping[str, object]) -> str:
    at = _time(event)
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if isfinite(at) else ""


def _time(event: Mapping[str, object]) -> float:
    at = event.get("time")
    return float(at) if isinstance(at, int | float) else float("inf")
