"""The timeline of a run: services, steps, gates and suites as bars from their begin to their end."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from test_infra.verdict.page import axis
from test_infra.verdict.page.axis import Axis
from test_infra.verdict.page.words import elapsed_s, seconds
from test_infra.verdict.result import Result

SHORTEST_SHARE = 0.4


@dataclass(frozen=True)
class Span:
    """One bar.

    Args:
        label: what took place.
        kind: ``service``, ``step``, ``gate`` or ``suite``; gives the colour.
        left: percent of the axis.
        width: percent of the axis.
        took: how long, in words.
        red: whether it failed.
        title: from when to when.
    """

    label: str
    kind: str
    left: float
    width: float
    took: str
    red: bool
    title: str


@dataclass(frozen=True)
class Timeline:
    """Bars in the order in which they began, and services that were there before."""

    across: Axis
    spans: tuple[Span, ...]
    earlier: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of bars that there are, in their order."""
        return tuple(dict.fromkeys(span.kind for span in self.spans))

    @property
    def red(self) -> bool:
        """Whether something failed."""
        return any(span.red for span in self.spans)


@dataclass(frozen=True)
class _Event:
    label: str
    kind: str
    started_at: datetime
    ended_at: datetime
    red: bool = False


def timeline(result: Result) -> Timeline | None:
    """The timeline of a run; None when nothing is known of when something happened."""
    events = sorted([*_services(result), *_steps(result), *_gates(result)], key=lambda event: event.started_at)
    if not events:
        return None
    zero = min(result.started_at, events[0].started_at)
    across = axis.times(0.0, max(elapsed_s(zero, event.ended_at) for event in events))
    earlier = [
        service.name
        for service in result.services
        if service.usable_at is not None and service.usable_at < result.started_at
    ]
    return Timeline(across, tuple(_span(event, zero, across) for event in events), tuple(earlier))


def _span(event: _Event, zero: datetime, across: Axis) -> Span:
    started_s, ended_s = elapsed_s(zero, event.started_at), elapsed_s(zero, event.ended_at)
    left = across.at(started_s)
    return Span(
        event.label,
        event.kind,
        min(left, 100 - SHORTEST_SHARE),
        max(round(across.at(ended_s) - left, 3), SHORTEST_SHARE),
        seconds(ended_s - started_s),
        event.red,
        f"from {seconds(started_s)} to {seconds(ended_s)}",
    )


def _services(result: Result) -> Iterator[_Event]:
    for service in result.services:
        if service.usable_at is not None and service.usable_at >= result.started_at:
            started_at = service.usable_at - timedelta(seconds=service.start_s)
            yield _Event(service.name, "service", started_at, service.usable_at)


def _steps(result: Result) -> Iterator[_Event]:
    for step in result.steps:
        kind = "suite" if any(asset.startswith("suites/") for asset in step.assets) else "step"
        yield _Event(step.step.replace("__", " "), kind, step.started_at, step.ended_at, step.exit_code is not None)


def _gates(result: Result) -> Iterator[_Event]:
    """Subjects that one step judged together are one bar."""
    together: dict[tuple[str, datetime], list[tuple[datetime, bool]]] = {}
    for gate in result.gates:
        if gate.evidence is not None:
            seen = together.setdefault((gate.gate, gate.evidence.started_at), [])
            seen.append((gate.evidence.ended_at, not gate.passed))
    for (name, started_at), ends in together.items():
        yield _Event(f"gate {name}", "gate", started_at, max(end for end, _ in ends), any(red for _, red in ends))
