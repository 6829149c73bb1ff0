"""What keeps the tables of a pipeline from being captured exactly, found before anything of it starts: all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from test_infra.base.errors import UsageError


class Severity(StrEnum):
    """What a finding means for the run."""

    ERROR = "error"
    """The pipeline is refused."""
    WARNING = "warning"
    """It runs, and this may keep it from getting far or fast enough."""
    NOTE = "note"
    """A limit that is worth knowing."""


@dataclass(frozen=True)
class PreflightFinding:
    """One thing that somebody should change, or know, before a pipeline starts.

    Args:
        subject: what it is about: ``server``, ``role capture``, ``table sales.orders``, ...
        problem: what is wrong, what was seen, and what to do.
        severity: what it means for the run.
    """

    subject: str
    problem: UsageError
    severity: Severity = Severity.ERROR

    def document(self) -> dict[str, str | dict[str, str]]:
        """As JSON has it."""
        return {
            "severity": self.severity.value,
            "subject": self.subject,
            "what": self.problem.what,
            "seen": dict(self.problem.details),
            "try": self.problem.hint or "",
        }


def errors_of(findings: Sequence[PreflightFinding]) -> list[PreflightFinding]:
    """The findings for which the pipeline is refused."""
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def refuse_errors(pipeline: str, findings: Sequence[PreflightFinding]) -> None:
    """Refuse the pipeline for every error among the findings.

    Raises:
        UsageError: the only problem itself, or one error that names them all.
    """
    errors = errors_of(findings)
    if len(errors) == 1:
        raise errors[0].problem
    if errors:
        raise UsageError(
            f"pipeline {pipeline} is refused for {len(errors)} reasons",
            details={str(number): _line(finding) for number, finding in enumerate(errors, 1)},
            hint=f"test-infra check {pipeline}",
        )


def _line(finding: PreflightFinding) -> str:
    problem = finding.problem
    seen = "".join(f"; {label}: {text}" for label, text in problem.details.items())
    cure = f" (try: {problem.hint})" if problem.hint else ""
    return " ".join(f"{problem.what}{seen}{cure}".split())
