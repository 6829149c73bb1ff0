"""The first glance: the verdict, how much it proves, and what failed first."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from test_infra.verdict.evidence import Outcome
from test_infra.verdict.page.words import elapsed_s, number, seconds
from test_infra.verdict.result import MISSING, GateResult, Result

PARITY, LAG = "parity", "lag"
CAUSES = frozenset({"NOT RUNNING", "UNSTABLE"})
CONSEQUENCES = frozenset({"LAG", "UNKNOWN"})
"""`CAUSES` say that something does not run; `CONSEQUENCES` only that data did not arrive or could not be judged."""


@dataclass(frozen=True)
class Figure:
    """One large number, what it counts, and what it is made of."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Fault:
    """Something that failed.

    Args:
        what: the step, or the asset and its gate.
        seen: what was seen.
        after: how long after the start of the run; empty when nobody knows.
        look: what it means and where to look first.
        anchor: id of the gate on the page; empty for a step.
        verdicts: of the gate; none for a step.
    """

    what: str
    seen: str
    after: str = ""
    look: str = ""
    anchor: str = ""
    verdicts: frozenset[str] = frozenset()


def anchor(gate: GateResult) -> str:
    """Id of a gate on the page."""
    return f"{gate.asset}:{gate.gate}"


def figures(result: Result) -> list[Figure]:
    """How much was proved, how late it was, how many gates passed, how long it took."""
    return [*_proved(result), *_late(result), _gates(result), *_took(result)]


def first_fault(result: Result) -> Fault | None:
    """What failed first; None when the run is green.

    A service counts from the time it failed, not from when its gate ran. Where the earliest fault is only LAG or
    UNKNOWN, something that does not run comes first, because it explains the fault.
    """
    if result.green:
        return None
    timed = sorted([*_failed_steps(result), *_red_gates(result)], key=lambda fault: fault[0])
    if timed and timed[0][1].verdicts and timed[0][1].verdicts <= CONSEQUENCES:
        timed.sort(key=lambda fault: not fault[1].verdicts & CAUSES)
    if timed:
        return timed[0][1]
    return Fault(result.reasons[0] if result.reasons else "the run", "")


def _failed_steps(result: Result) -> Iterator[tuple[datetime, Fault]]:
    for step in result.steps:
        if step.exit_code is not None:
            after = seconds(elapsed_s(result.started_at, step.ended_at))
            yield step.ended_at, Fault(f"step {step.step} failed", step.error, after)


def _red_gates(result: Result) -> Iterator[tuple[datetime, Fault]]:
    for gate in result.gates:
        if gate.evidence is not None and not gate.passed:
            happened_at = min([gate.evidence.ended_at, *_moments(gate)])
            after = seconds(elapsed_s(result.started_at, happened_at))
            look = gate.evidence.promise.partition("\n\n")[2]
            verdicts = frozenset(gate.evidence.verdicts)
            yield happened_at, Fault(f"{gate.asset} {gate.gate}", gate.summary, after, look, anchor(gate), verdicts)


def _moments(gate: GateResult) -> Iterator[datetime]:
    for row in gate.evidence.rows if gate.evidence else ():
        with suppress(ValueError):
            moment = datetime.fromisoformat(row.get("time", ""))
            if moment.tzinfo is not None:
                yield moment


def _proved(result: Result) -> Iterator[Figure]:
    found = [gate for gate in result.gates if gate.gate == PARITY]
    if not found:
        return
    equal = [gate.evidence for gate in found if gate.passed and gate.evidence is not None]
    rows = sum(item.numbers.get("source_rows", 0) for item in equal)
    of = "tables" if len(found) != 1 else "table"
    tables = f"in {len(found)} {of}" if len(equal) == len(found) else f"only {len(equal)} of {len(found)} {of} equal"
    yield Figure(number(rows), "rows proved equal", tables)


def _late(result: Result) -> Iterator[Figure]:
    found = [gate.evidence.numbers for gate in result.gates if gate.gate == LAG and gate.evidence is not None]
    measured = [numbers for numbers in found if "commit_to_mirror_p95_s" in numbers]
    if measured:
        p95_s = max(numbers["commit_to_mirror_p95_s"] for numbers in measured)
        max_s = max(numbers["commit_to_mirror_max_s"] for numbers in measured)
        changes = number(sum(numbers.get("changes_measured", 0) for numbers in measured))
        yield Figure(seconds(p95_s), "lag to the mirror, p95", f"longest {seconds(max_s)}, of {changes} changes")
    elif any(gate.gate == LAG for gate in result.gates):
        yield Figure("\u2013", "lag to the mirror, p95", "nothing was measured")


def _gates(result: Result) -> Figure:
    passed = sum(gate.passed for gate in result.gates)
    others = {outcome: count for outcome, count in result.counts.items() if outcome != Outcome.PASSED}
    rest = ", ".join(
        f"{count} {'did not look' if outcome == MISSING else outcome}" for outcome, count in others.items()
    )
    return Figure(f"{passed} of {len(result.gates)}", "gates passed", rest)


def _took(result: Result) -> Iterator[Figure]:
    if result.finished_at is not None:
        yield Figure(seconds(elapsed_s(result.started_at, result.finished_at)), "the run took")
