"""Read what a suite left behind. A test that was planned and did not report is as red as one that failed."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from test_infra.suites.spec import SuiteFolder
from test_infra.verdict.evidence import Finding, Outcome

LONGEST_MESSAGE = 4_000


class Ending(StrEnum):
    """How one test ended. Everything but PASSED is red."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNREPORTED = "unreported"


@dataclass(frozen=True)
class TestEnding:
    """One test of the suite.

    Args:
        seconds: time of all its phases together.
        message: why it did not pass.
    """

    __test__ = False

    nodeid: str
    ending: Ending
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class SuiteReport:
    """What is known of a suite after it ran.

    Args:
        tests: every test that was planned or reported.
        collection_errors: what could not be collected, with its error.
        exit: pytest's exit code as text, or why there is none.
    """

    tests: tuple[TestEnding, ...]
    collection_errors: tuple[str, ...] = ()
    exit: str = ""

    def with_ending(self, ending: Ending) -> list[TestEnding]:
        """The tests that ended like this."""
        return [test for test in self.tests if test.ending is ending]


@dataclass
class _Phases:
    done: bool = False
    ending: Ending = Ending.PASSED
    seconds: float = 0.0
    messages: list[str] = field(default_factory=list)


def read(folder: SuiteFolder) -> SuiteReport:
    """The report of a suite from its files; files that are not there mean that nothing is known."""
    planned = [entry for entry in _lines(folder.planned) if isinstance(entry, str)]
    reported = [entry for entry in _lines(folder.report) if isinstance(entry, dict)]
    ended = folder.exit.read_text() if folder.exit.is_file() else "pytest left no exit code"
    return summarise(planned, reported, ended)


def summarise(planned: Sequence[str], reported: Sequence[Mapping[str, Any]], ended: str) -> SuiteReport:
    """Bring plan and report log together.

    Args:
        planned: ids of all tests there are.
        reported: the report log, which may end in the middle of the run.
        ended: pytest's exit code as text, or why there is none.
    """
    phases: dict[str, _Phases] = {}
    for entry in reported:
        if entry.get("$report_type") == "TestReport":
            _add(phases.setdefault(entry["nodeid"], _Phases()), entry)
    names = dict.fromkeys([*planned, *phases])
    return SuiteReport(
        tests=tuple(_ending(name, phases.get(name)) for name in names),
        collection_errors=tuple(dict.fromkeys(_collection_errors(reported))),
        exit=ended,
    )


def finding(report: SuiteReport, log: Path) -> Finding:
    """The verdict on a suite: passed when at least one test ran, all passed, and nothing was left out."""
    counts = {ending: len(report.with_ending(ending)) for ending in Ending}
    verdicts = [ending.value.upper() for ending in Ending if ending is not Ending.PASSED and counts[ending]]
    if report.collection_errors:
        verdicts.append("COLLECTION")
    if not report.tests:
        verdicts.append("NO TESTS")
    if report.exit != "0" and not verdicts:
        verdicts.append("EXIT")
    said = [f"{count} {ending.value}" for ending, count in counts.items() if count] or ["no test"]
    if report.collection_errors:
        said.append(f"{len(report.collection_errors)} could not be collected")
    if report.exit != "0":
        said.append(f"pytest ended with: {report.exit}")
    return Finding(
        outcome=_outcome(verdicts),
        verdicts=tuple(verdicts),
        summary=", ".join(said),
        numbers={f"tests_{ending.value}": float(count) for ending, count in counts.items()}
        | {"tests_s": sum(test.seconds for test in report.tests)},
        rows=tuple(
            {
                "test": test.nodeid,
                "outcome": test.ending.value,
                "seconds": f"{test.seconds:.3f}",
                "message": test.message,
            }
            for test in sorted(report.tests, key=lambda test: test.ending is Ending.PASSED)
        ),
        details={"log": str(log)}
        | {f"collection error {place}": text for place, text in enumerate(report.collection_errors, 1)},
    )


def _outcome(verdicts: Sequence[str]) -> Outcome:
    if not verdicts:
        return Outcome.PASSED
    return Outcome.FAILED if Ending.FAILED.value.upper() in verdicts else Outcome.UNKNOWN


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
    if outcome == "failed" or phases.ending is Ending.FAILED:
        phases.ending = Ending.FAILED
    else:
        phases.ending = Ending.SKIPPED
    phases.messages.append(_message(entry.get("longrepr")))


def _ending(nodeid: str, phases: _Phases | None) -> TestEnding:
    if phases is None:
        return TestEnding(nodeid, Ending.UNREPORTED, message="planned, but it never reported")
    message = "\n".join(filter(None, phases.messages))[-LONGEST_MESSAGE:]
    if not phases.done and phases.ending is not Ending.FAILED:
        return TestEnding(nodeid, Ending.UNREPORTED, phases.seconds, "it began, but its end was never reported")
    return TestEnding(nodeid, phases.ending, phases.seconds, message)


def _collection_errors(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        f"{entry.get('nodeid') or 'session'}: {_message(entry.get('longrepr'))}"
        for entry in entries
        if entry.get("$report_type") == "CollectReport" and entry.get("outcome") != "passed"
    ]


def _message(longrepr: Any) -> str:
    """The text of a failure in any of the forms that a report log has for it."""
    if not longrepr:
        return ""
    if isinstance(longrepr, list):  # a skip: file, line, reason
        return str(longrepr[-1])
    if isinstance(longrepr, dict):
        crash = longrepr.get("reprcrash") or {}
        where = f"{crash.get('path')}:{crash.get('lineno')}: " if crash.get("path") else ""
        return f"{where}{crash.get('message') or longrepr.get('longrepr') or ''}".strip() or str(longrepr)
    return str(longrepr)
