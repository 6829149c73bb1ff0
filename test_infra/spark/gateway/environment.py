"""The values that a job's environment references stand for."""

from __future__ import annotations

import os
from pathlib import Path

from test_infra.base.redaction import redact
from test_infra.spark.gateway.backend import Refused
from test_infra.spark.job.spec import FromFile, FromVariable, JobSpec


def values_of(spec: JobSpec) -> dict[str, str]:
    """Variable -> value now; from here on every output of this process masks these values.

    Raises:
        Refused: a variable is not set, or a file cannot be read or is readable by others.
    """
    values = {name: _value(name, reference) for name, reference in spec.environment.items()}
    for value in values.values():
        redact.learn(value)
    return values


def _value(name: str, reference: FromVariable | FromFile) -> str:
    if isinstance(reference, FromVariable):
        value = os.environ.get(reference.from_variable)
        if value is None:
            raise Refused(
                f"environment.{name} refers to variable {reference.from_variable}, which the gateway does not have"
            )
        return value
    path = Path(reference.from_file)
    try:
        if path.stat().st_mode & 0o077:
            raise Refused(f"environment.{name} refers to {path}, which others may read", hint=f"chmod 600 {path}")
        return path.read_text().strip()
    except OSError as error:
        raise Refused(f"environment.{name} refers to {path}: {error.strerror}") from error
