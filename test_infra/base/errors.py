"""Errors written for the person who must act."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

LAST_LINES = 12


class TestInfraError(Exception):
    """A foreseeable fault: what failed, what was seen, where the evidence is, what to try.

    Args:
        what: one line without a final stop, such as ``kafka is not usable after 30.0 s``.
        details: label -> text, printed in order, one aligned line each.
        log: a log file whose last lines belong to the error.
        hint: a command or a change that may mend it.
    """

    __test__ = False
    exit_code = 3

    def __init__(
        self,
        what: str,
        *,
        details: dict[str, str] | None = None,
        log: Path | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.details = dict(details or {})
        self.log = log
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"  {label + ':':<11}{text}" for label, text in self.details.items()]
        if self.log is not None:
            lines.append(f"  {'log:':<11}{self.log}")
            lines += [f"    ... {line}" for line in last_lines(self.log)]
        if self.hint:
            lines.append(f"  {'try:':<11}{self.hint}")
        return "\n".join(lines)


class UsageError(TestInfraError):
    """The caller asked for something that cannot be: a bad option, bad YAML, an unknown name."""

    exit_code = 2


class InfrastructureError(TestInfraError):
    """The stack, or a part of it, could not be made or reached."""

    exit_code = 3


class NotReady(InfrastructureError):
    """Something awaited did not happen before its deadline."""


@dataclass(frozen=True)
class FieldProblem:
    """One refused field of a document.

    Args:
        where: file and line, or the path of the field.
        message: what is wrong with it, with what was seen.
    """

    where: str
    message: str


@dataclass
class BadDocument(UsageError):
    """A document (YAML, JSON, a connector's configuration) was refused, field by field."""

    document: str
    problems: list[FieldProblem] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(
            f"{self.document} is refused",
            details={problem.where: problem.message for problem in self.problems},
        )

    __hash__ = UsageError.__hash__

    def __str__(self) -> str:
        return "\n".join([self.what, *(f"  {where}: {message}" for where, message in self.details.items())])


def last_lines(path: Path, count: int = LAST_LINES) -> list[str]:
    """The last lines of a log file; empty when it cannot be read."""
    try:
        with path.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - 16_384))
            return log.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
