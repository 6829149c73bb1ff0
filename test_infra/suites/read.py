"""Reads the files of a suite that ended. A test that was collected and never reported is as red as one that failed."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from test_infra.suites.spec import SuiteFolder
from test_infra.verdict.evidence import Finding, Outcome

LONGEST_MESSAGE = 4_000


class TestOutcome(StrEnum):
    """How one test ended, in pytest's words. Everything but PASSED is red."""

    __test__ = False

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNREPORTED = "unreported"


@dataclass(frozen=True)
class TestResult:
    """One test of the suite.

    Args:
        seconds: time of all its phases together.
        message: why it did not pass.
    """

    __test__ = False

    nodeid: str
    outcome: TestOutcome
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class SuiteReport:
    """All results of a suite.

    Args:
        tests: every test that was collected or reported.
        collection_errors: what could not be collected, with its error.
        exit: pytest's exit code as text, or why there is none.
    """

    tests: tuple[TestResult, ...]
    collection_errors: tuple[str, ...] = ()
    exit: str = ""

    def with_outcome(self, outcome: TestOutcome) -> list[TestResult]:
        """The tests that ended with this outcome."""
        return [test for test in self.tests if test.outcome is outcome]


@dataclass
class _Phases:
    done: bool = False
    outcome: TestOutcome = TestOutcome.PASSED
    seconds: float = 0.0
    messages: list[str] = field(default_factory=list)


def read(folder: SuiteFolder) -> SuiteReport:
    """The report of a suite from its files. A missing file is no error here: the verdict is then red."""
    planned = [entry for entry in _lines(folder.planned) if isinstance(entry, str)]
    reported = [entry for entry in _lines(folder.report) if isinstance(entry, dict)]
    ended = folder.exit.read_text() if folder.exit.is_file() else "pytest left no exit code"
    return summarise(planned, reported, ended)


def summarise(planned: Sequence[str], reported: Sequence[Mapping[str, Any]], ended: str) -> SuiteReport:
    """Combine the plan with the report log.

    Args:
        planned: ids of all collected tests.
        reported: the report log, which may end in the middle of the run.
        ended: pytest's exit code as text, or why there is none.
    """
    phases: dict[str, _Phases] = {}
    for entry in reported:
        if entry.get("$report_type") == "TestReport":
            _add(phases.setdefault(entry["nodeid"], _Phases()), entry)
    names = dict.fromkeys([*planned, *phases])
    return SuiteReport(
        tests=tuple(_result(name, phases.get(name)) for name in names),
        collection_errors=tuple(dict.fromkeys(_collection_errors(reported))),
        exit=ended,
    )


def finding(report: SuiteReport, log: Path) -> Finding:
    """The verdict on a suite: passed when at least one test ran, all passed, and nothing was left out."""
    counts = {outcome: len(report.with_outcome(outcome)) for outcome in TestOutcome}
    verdicts = [
        outcome.value.upper() for outcome in TestOutcome if outcome is not TestOutcome.PASSED and counts[outcome]
    ]
    if report.collection_errors:
        verdicts.append("COLLECTION")
    if not report.tests:
        verdicts.append("NO TESTS")
    if report.exit != "0" and not verdicts:
        verdicts.append("EXIT")
    said = [f"{count} {outcome.value}" for outcome, count in counts.items() if count] or ["no test"]
    if report.collection_errors:
        said.append(f"{len(report.collection_errors)} could not be collected")
    if report.exit != "0":
        said.append(f"pytest ended with: {report.exit}")
    return Finding(
        outcome=_outcome(verdicts),
        verdicts=tuple(verdicts),
        summary=", ".join(said),
        numbers={f"tests_{outcome.value}": float(count) for outcome, count in counts.items()}
        | {"tests_s": sum(test.seconds for test in report.tests)},
        rows=tuple(
            {
                "test": test.nodeid,
                "outcome": test.outcome.value,
                "seconds": f"{test.seconds:.3f}",
                "message": test.message,
            }
            for test in sorted(report.tests, key=lambda test: test.outcome is TestOutcome.PASSED)
        ),
        details={"log": str(log)}
        | {f"collection error {place}": text for place, text in enumerate(report.collection_errors, 1)},
    )


def _outcome(verdicts: Sequence[str]) -> Outcome:
    if not verdicts:
        return Outcome.PASSED
    return Outcome.FAILED if TestOutcome.FAILED.value.upper() in verdicts else Outcome.UNKNOWN


def _lines(path: Path) -> Iterator[Any]:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # the line a killed process was writing
            continue


def _add(phases: _Phases, entry: Mapping[str, Any]) -> None:
    phases.seconds += float(entry.get("duration") or 0)
    phases.done = phases.done or entry.get("when") == "teardown"
    outcome = entry.get("outcome")
    if outcome == "passed":
        return
    if outcome == "failed" or phases.outcome is TestOutcome.FAILED:
        phases.outcome = TestOutcome.FAILED
    else:
        phases.outcome = TestOutcome.SKIPPED
    phases.messages.append(_message(entry.get("longrepr")))


def _result(nodeid: str, phases: _Phases | None) -> TestResult:
    if phases is None:
        return TestResult(nodeid, TestOutcome.UNREPORTED, message="it was collected, but it never reported")
    message = "\n".join(filter(None, phases.messages))[-LONGEST_MESSAGE:]
    if not phases.done and phases.outcome is not TestOutcome.FAILED:
        return TestResult(nodeid, TestOutcome.UNREPORTED, phases.seconds, "it started, but its end was never reported")
    return TestResult(nodeid, phases.outcome, phases.seconds, message)


def _collection_errors(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        f"{entry.get('nodeid') or 'session'}: {_message(entry.get('longrepr'))}"
        for entry in entries
        if entry.get("$report_type") == "CollectReport" and entry.get("outcome") != "passed"
    ]


def _message(longrepr: Any) -> str:
    """The message of a failure; a report log has several forms of it."""
    if not longrepr:
        return ""
    if isinstance(longrepr, list):  # a skip: file, line, reason
        return str(longrepr[-1])
    if isinstance(longrepr, dict):
        crash = longrepr.get("reprcrash") or {}
        where = f"{crash.get('path')}:{crash.get('lineno')}: " if crash.get("path") else ""
        return f"{where}{crash.get('message') or longrepr.get('longrepr') or ''}".strip() or str(longrepr)
    return str(longrepr)
