"""A position of the source's order of events, as change log and mirror store it.

Its type is the source's own: an integer for PostgreSQL's LSN, a text that sorts right for a binlog. SQL only ever
compares positions with each other.
"""

from __future__ import annotations

from typing import Any

from test_infra.cdc.types.rule import literal

Stored = Any
"""A stored position; comparable with others of the same source."""


def position(stored: Stored) -> str:
    """SQL of a stored position."""
    return str(stored) if isinstance(stored, int) else literal(str(stored))


def later(one: Stored | None, other: Stored | None) -> Stored | None:
    """The later one of two stored positions; None only where there is neither."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
