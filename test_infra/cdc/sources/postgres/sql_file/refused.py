"""How a SQL file is refused."""

from __future__ import annotations

from pathlib import Path

from test_infra.base.errors import UsageError


class SqlFileRefused(UsageError):
    """A SQL file, or a place in one, that cannot be run; nothing of it was executed."""


def refused(path: Path, line: int | None, what: str, hint: str) -> SqlFileRefused:
    """The error for a place in a file.

    Args:
        path: of the file.
        line: counted from 1; None for the file as a whole.
        what: is wrong with it.
        hint: what to do.
    """
    place = str(path) if line is None else f"{path}:{line}"
    return SqlFileRefused(
        f"the SQL file {path.name} is refused",
        details={"file": place, "seen": what, "executed": "nothing of it"},
        hint=hint,
    )
