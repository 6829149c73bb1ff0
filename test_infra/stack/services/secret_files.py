"""Secrets of a stack as files of mode 0600."""

from __future__ import annotations

import os
from pathlib import Path

from test_infra.base.errors import UsageError
from test_infra.base.ids import token
from test_infra.base.paths import write_private
from test_infra.base.redaction import redact


def made(folder: Path, name: str) -> Path:
    """The file of a secret that this stack makes for itself; the same file again on a second call."""
    path = folder / name
    if not path.exists():
        write_private(path, token())
    redact.learn(path.read_text())
    return path


def given(folder: Path, name: str, variable: str) -> Path:
    """The file of a secret that the user gives in an environment variable.

    Raises:
        UsageError: the variable is not set.
    """
    value = os.environ.get(variable)
    if not value:
        raise UsageError(f"{name} is not given", details={"looked in": f"environment variable {variable}"})
    redact.learn(value)
    path = folder / name
    write_private(path, value)
    return path
