"""What can go wrong with any source database."""

from __future__ import annotations

from test_infra.base.errors import InfrastructureError


class SourceUnreachable(InfrastructureError):
    """The source did not accept a session."""


class LockNotTaken(InfrastructureError):
    """A table was locked by a truncate, a rewrite or DDL all the time."""
