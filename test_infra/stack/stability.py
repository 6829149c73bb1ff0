"""Whether a service stayed up: judged by its state now, and by what the keeper wrote down during the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite

from test_infra.runtime.process import ProcessEvent
from test_infra.stack.status import USABLE, ServiceState
from test_infra.verdict.evidence import Finding, Outcome

PLANNED = frozenset({ProcessEvent.STARTED, ProcessEvent.ENDING, ProcessEvent.FAULT})
"""Events that say nothing against a process. Every other one counts, also one that this version does not know: a
process that is stopped on request leaves no event."""


def judge_service(
    service: str,
    state: tuple[ServiceState, str] | None,
    events: Sequence[Mapping[str, object]],
    ended_unasked: str = "",
) -> Finding:
    """The verdict on one service: it is usable, and nothing happened to it that nobody asked for.

    Args:
        service: its name.
        state: its state now and why; None when the stack does not know it.
        events: what happened to the stack's processes during the run, oldest first.
        ended_unasked: how often it ended by itself during the run, and why, in words.
    """
    unplanned = [event for event in events if event.get("service") == service and event.get("event") not in PLANNED]
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
            summary=ended_unasked or f"{service}: {len(unplanned)} events that nobody asked for",
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


def happened_at(event: Mapping[str, object]) -> float:
    """When an event of the keeper happened, epoch seconds; later than everything where it does not say."""
    at = event.get("time")
    return float(at) if isinstance(at, int | float) else float("inf")


def _moment(event: Mapping[str, object]) -> str:
    at = happened_at(event)
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if isfinite(at) else ""
