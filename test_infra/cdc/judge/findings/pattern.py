"""One finding about all tables of a pattern: the worst of them decides, and each is named."""

from collections.abc import Mapping

from test_infra.cdc.judge.findings.words import MOST_ROWS
from test_infra.verdict.evidence import Finding, Outcome
from test_infra.verdict.measures import added

MOST_NAMED = 5
"""Red tables that the summary names; all are in the details."""


def of_pattern(tables: Mapping[str, Finding | None]) -> Finding:
    """The findings about the tables of a pattern as one.

    Args:
        tables: label -> what was found out; None where nothing was, which is unknown.
    """
    given = {label: found or _NOTHING for label, found in tables.items()}
    red = {label: found for label, found in given.items() if not found.passed}
    outcomes = {found.outcome for found in given.values()} or {Outcome.UNKNOWN}
    return Finding(
        outcome=next(outcome for outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.PASSED) if outcome in outcomes),
        summary=_summary(given, red),
        verdicts=tuple(dict.fromkeys(verdict for found in red.values() for verdict in found.verdicts)),
        numbers={"tables": len(given), "tables_red": len(red), **_numbers(given)},
        rows=tuple(
            {"table": label, **row} for label, found in {**red, **given}.items() for row in found.rows[:MOST_ROWS]
        )[:MOST_ROWS],
        details={label: found.summary for label, found in {**red, **given}.items()},
        histograms=tuple(added(part for found in given.values() for part in found.histograms).values()),
    )


_NOTHING = Finding(outcome=Outcome.UNKNOWN, verdicts=("UNKNOWN",), summary="the gate has no finding for it")


def _summary(given: Mapping[str, Finding], red: Mapping[str, Finding]) -> str:
    if not given:
        return "the pattern means no table, so nothing was judged"
    if not red:
        return (
            f"all {len(given)} tables: {next(iter(given.values())).summary}" if len(given) == 1 else _all_green(given)
        )
    named = "; ".join(f"{label}: {found.summary}" for label, found in list(red.items())[:MOST_NAMED])
    more = f"; and {len(red) - MOST_NAMED} more" if len(red) > MOST_NAMED else ""
    return f"{len(red)} of {len(given)} tables are red: {named}{more}"


def _all_green(given: Mapping[str, Finding]) -> str:
    return f"all {len(given)} tables: {', '.join(given)}"


def _numbers(given: Mapping[str, Finding]) -> dict[str, float]:
    """Counts are added up; of durations the longest counts."""
    names = dict.fromkeys(name for found in given.values() for name in found.numbers)
    return {
        name: (max if name.endswith("_s") else sum)(
            found.numbers[name] for found in given.values() if name in found.numbers
        )
        for name in names
    }
